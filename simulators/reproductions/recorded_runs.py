"""Recorded runs: the jobs that leave records, and first of all what several of them begin with.

Invariant: a beginning that runs have in common is learned once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

from simulators.reproductions.jobs import Job, Stop, Tell
from simulators.reproductions.records import R, Records
from simulators.reproductions.reproduction import Files, Place, Reproduction


@dataclass(frozen=True)
class RecordedRun(Generic[R]):
    """The work of a job."""

    reproduction: Reproduction[R]
    place: Place
    scenario: str
    seed: int
    device: str

    def __call__(self, progress: Tell, stop: Stop) -> str:
        beginning = self.reproduction.beginning(self.scenario)
        files = Files(
            self.place.unfinished(self.scenario, self.seed),
            self.place.beginning(beginning.name, self.seed) if beginning else None,
        )
        record = self.reproduction.run(self.scenario, self.seed, self.device, files, progress, stop)
        Records(self.place.runs, self.reproduction.kind).write(record)
        files.unfinished.unlink(missing_ok=True)
        return self.reproduction.line(record)


@dataclass(frozen=True)
class CommonBeginning(Generic[R]):
    """The work of a job that others wait for."""

    reproduction: Reproduction[R]
    place: Place
    name: str
    seed: int
    device: str

    def __call__(self, progress: Tell, stop: Stop) -> str:
        file = self.place.beginning(self.name, self.seed)
        self.reproduction.begin(self.name, self.seed, self.device, file, progress, stop)
        return f"beginning of {self.name}, seed {self.seed}, which other runs have in common"


def jobs_of(
    reproduction: Reproduction[R], place: Place, runs: Sequence[tuple[str, int]], device: str
) -> list[Job]:
    """First the beginnings that several of the runs have in common."""
    beginnings = {name: reproduction.beginning(name) for name, _ in runs}
    counts = Counter((beginnings[name], seed) for name, seed in runs)
    first, then = {}, []
    for name, seed in runs:
        seconds, beginning = reproduction.seconds(name), beginnings[name]
        job = Job(
            f"{name}, seed {seed}", seconds, RecordedRun(reproduction, place, name, seed, device)
        )
        if beginning and counts[beginning, seed] > 1:
            work = CommonBeginning(reproduction, place, beginning.name, seed, device)
            common = f"beginning of {beginning.name}, seed {seed}"
            first[common] = Job(common, seconds * beginning.share, work, is_run=False)
            job = replace(job, after=common, done=beginning.share)
        then.append(job)
    return [*first.values(), *then]
