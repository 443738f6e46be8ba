"""Huge pages: that a learner's process has them, as Linux tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.learning.huge_pages import VARIABLE
from tests.services.learner_process import stop, wait_until
from tests.streams import SMALL, STREAM, enveloped, samples, settings

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
UNITS = 2000
LEAST_MEGABYTES = 3 * UNITS**2 * 4 // 2**20  # its weights, and what Adam has of each


def huge_megabytes(child: Child) -> int:
    lines = Path(f"/proc/{child._process.pid}/smaps_rollup").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("AnonHugePages:"))
    return int(kilobytes) // 1024


@pytest.mark.skipif(
    not ENABLED.exists() or "[madvise]" not in ENABLED.read_text(),
    reason="this machine gives huge pages to all who ask for memory, or to nobody",
)
@pytest.mark.parametrize("asked", ["", "0"], ids=["as-it-is", "if-the-environment-says-no"])
def test_a_learners_large_network_lies_in_huge_pages(
    asked: str, tmp_path: Path, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if asked:
        monkeypatch.setenv(VARIABLE, asked)
    chosen = settings(
        tmp_path,
        model=SMALL | {"network": {"hidden": (UNITS, UNITS)}},
        stream={"broker": f"embedded:{tmp_path}/broker.sqlite"},
    )
    with EmbeddedBroker(tmp_path / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, enveloped([samples(16, task="a")]))
        started.append(child := Child("learner", settings=chosen))
        wait_until(child, "si_stream_step", reaches=2)
        assert (huge_megabytes(child) >= LEAST_MEGABYTES) == (asked == "")
        stop(child)
