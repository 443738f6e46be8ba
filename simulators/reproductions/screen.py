"""What a reproduction shows: bars and the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from simulators.reproductions.jobs import Job, Watcher

LEAST_SHARE = 0.01  # of the work; before, the time left is anybody's guess
LINE_SECONDS = 300.0  # without one, where lines are all there is


class Screen:
    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        self._console.print(line, markup=False)

    @contextmanager
    def watching(self, jobs: Sequence[Job]) -> Iterator[Watcher]:
        if not self._console.is_terminal:
            yield Lines(jobs)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]}", style="cyan"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield Bars(jobs, progress)


class Lines(Watcher):
    """A line for each job that is done, and now and then one of how far the others are."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._estimate = Estimate(jobs)
        self._count, self._finished = runs_of(jobs), 0
        self._last = time.monotonic()

    def going(self, job: Job, share: float) -> None:
        self._estimate.note(job, share)
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._say(f"{self._estimate.share:.0%} done")

    def done(self, job: Job, line: str) -> None:
        self._estimate.note(job, 1.0)
        self._finished += job.is_run
        self._say(line)

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        place = f"{self._finished} of {self._count} runs"
        told = ", ".join(part for part in (place, self._estimate.left()) if part)
        print(f"{line} ({told})", file=sys.stderr, flush=True)


class Bars(Watcher):
    def __init__(self, jobs: Sequence[Job], progress: Progress) -> None:
        self._estimate = Estimate(jobs)
        self._progress = progress
        self._whole = progress.add_task(f"{runs_of(jobs)} runs", total=1.0, left="")
        self._bars: dict[str, TaskID] = {}

    def going(self, job: Job, share: float) -> None:
        if job.name not in self._bars:
            self._bars[job.name] = self._progress.add_task(job.name, total=1.0, left="")
        self._progress.update(self._bars[job.name], completed=share)
        self._note(job, share)

    def done(self, job: Job, line: str) -> None:
        if job.name in self._bars:
            self._progress.remove_task(self._bars.pop(job.name))
        self._progress.console.print(line, markup=False)
        self._note(job, 1.0)

    def _note(self, job: Job, share: float) -> None:
        self._estimate.note(job, share)
        self._progress.update(
            self._whole, completed=self._estimate.share, left=self._estimate.left()
        )


def runs_of(jobs: Sequence[Job]) -> int:
    return sum(job.is_run for job in jobs)


class Estimate:
    """The time left, from that gone by and the share of the work that is done."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._begun = time.monotonic()
        self._seconds = {job.name: job.seconds for job in jobs}
        self._shares = {job.name: job.done for job in jobs}
        self._begins = dict(self._shares)
        """Of each job, the share that was done before, if it goes on where it was stopped."""
        self._begun_jobs: set[str] = set()

    def note(self, job: Job, share: float) -> None:
        if job.name not in self._begun_jobs and share < 1.0:
            self._begins[job.name] = share
        self._begun_jobs.add(job.name)
        self._shares[job.name] = share

    @property
    def share(self) -> float:
        return self._of_all(self._shares)

    def left(self) -> str:
        gone, done = time.monotonic() - self._begun, self.share - self._of_all(self._begins)
        if done < LEAST_SHARE:
            return ""
        seconds = gone * (1 - self.share) / done
        if seconds < 90:
            return f"{seconds:.0f} s left"
        return f"{seconds / 60:.0f} min left"

    def _of_all(self, shares: Mapping[str, float]) -> float:
        done = sum(self._seconds[name] * share for name, share in shares.items())
        return done / max(sum(self._seconds.values()), 1e-9)
