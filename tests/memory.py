"""How much memory something takes, at its most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SELF = Path("/proc/self")


@contextmanager
def memory_within(megabytes: int) -> Iterator[None]:
    """What is done meanwhile never has so much more memory than there was before, freed since or
    not; the kernel counts."""
    (SELF / "clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    yield
    taken = (_kilobytes("VmHWM") - before) / 1024
    assert taken < megabytes, f"{taken:.0f} MB were taken at once"


def _kilobytes(name: str) -> int:
    lines = (SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
