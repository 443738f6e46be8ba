from __future__ import annotations

from pathlib import Path

import pytest

from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import JOINT, NONE, SI
from simulators.reproductions.paper.reproduction import PaperBenchmark
from simulators.reproductions.recorded_runs import jobs_of
from simulators.reproductions.reproduction import Place

WEAK, STRONG = Arm(SI, 0.1, 2, 3), Arm(SI, 1.0, 2, 3)
REPRODUCTION = PaperBenchmark("split-digits", ())
BEGINNING = "beginning of synaptic-intelligence-2-epochs-3-tasks, seed 0"


def jobs(directory: Path, *runs: tuple[Arm, int]) -> list[tuple[str, str, float, float]]:
    named = [(arm.name(REPRODUCTION.benchmark), seed) for arm, seed in runs]
    found = jobs_of(REPRODUCTION, Place(directory, REPRODUCTION.name), named, "cpu")
    return [(job.name, job.after, job.seconds, job.done) for job in found]


def test_runs_that_differ_in_strength_alone_wait_for_the_beginning_they_share(
    tmp_path: Path,
) -> None:
    found = jobs(tmp_path, (WEAK, 0), (STRONG, 0), (Arm(NONE, None, 2, 3), 0))
    assert [(name, after) for name, after, _, _ in found] == [
        (BEGINNING, ""),
        ("synaptic-intelligence-c-0.1-2-epochs-3-tasks, seed 0", BEGINNING),
        ("synaptic-intelligence-c-1-2-epochs-3-tasks, seed 0", BEGINNING),
        ("none-2-epochs-3-tasks, seed 0", BEGINNING),
    ]
    whole = found[1][2]
    assert found[0][2] == pytest.approx(whole / 3)  # one task of three
    assert {done for _, _, _, done in found[1:]} == {1 / 3}


def test_a_run_that_shares_nothing_waits_for_nothing(tmp_path: Path) -> None:
    validated = WEAK._replace(validation=True)
    runs = [(WEAK, 0), (STRONG, 1), (validated, 0), (Arm("lwf", 1.0, 2, 3), 0)]
    alone = [*runs, (Arm(JOINT, None, 2, 3), 0)]
    assert [(after, done) for _, after, _, done in jobs(tmp_path, *alone)] == [("", 0.0)] * 5
