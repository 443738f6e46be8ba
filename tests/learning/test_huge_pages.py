"""Huge pages, as Linux tells of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from si_stream.learning.huge_pages import VARIABLE

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MEGABYTES = 64
PROGRAM = f"""
import services.learner as learner, torch

learner.ask_for_huge_pages()
tensor = torch.ones({MEGABYTES} * 2**18)
lines = [line.split() for line in open("/proc/self/smaps_rollup")]
print(next(int(line[1]) for line in lines if line[0] == "AnonHugePages:"))
"""


def huge_kilobytes(**environment: str) -> int:
    """Of a process that has loaded a learner's modules, asked, and then made a large tensor."""
    own = {name: value for name, value in os.environ.items() if name != VARIABLE}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=own | environment, capture_output=True, check=True
    )
    return int(found.stdout)


@pytest.mark.skipif(
    not ENABLED.exists() or "[madvise]" not in ENABLED.read_text(),
    reason="this machine gives huge pages to all who ask for memory, or to nobody",
)
def test_a_learners_large_tensors_lie_in_huge_pages_unless_the_environment_says_otherwise() -> None:
    least = MEGABYTES * 1024 * 3 // 4
    assert huge_kilobytes() >= least
    assert huge_kilobytes(**{VARIABLE: "0"}) < least
