"""The runner: does a reproduction as the options of a command ask, and says where all is.

Invariant: a run that has a record is not done again, and no other command works in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from simulators.reproductions.exclusive import alone_in
from simulators.reproductions.jobs import Stop, run_jobs
from simulators.reproductions.page import require_marks
from simulators.reproductions.recorded_runs import jobs_of
from simulators.reproductions.records import R, Records
from simulators.reproductions.reproduction import Place, Reproduction
from simulators.reproductions.screen import Screen
from simulators.reproductions.summaries import summarise
from simulators.stopping import caught_signals


class Runner:
    """Args:
    seeds: of each scenario, from 0 on; its own number by default.
    processes: runs at a time.
    page: a document that has the table between two marks.
    """

    def __init__(
        self,
        directory: Path,
        seeds: int | None,
        processes: int,
        device: str,
        page: Path | None,
    ) -> None:
        self.directory = directory
        self.screen = Screen()
        self._seeds, self._processes = seeds, processes
        self._device, self._page = device, page

    def run(self, reproduction: Reproduction[R], chosen: Sequence[str] = ()) -> None:
        """Do the runs that have no record, then make summary and pictures of all that there are.

        Args:
            chosen: scenarios; the usual ones where none is named.

        Raises:
            Exit: it was stopped before all runs were done; nothing is made of them then.
            SIStreamError: settings, data or the machine do not allow it; what is done is recorded.
        """
        if self._page is not None:
            require_marks(self._page, reproduction.name)
        place = Place(self.directory, reproduction.name)
        with alone_in(place.pictures):
            self._run(reproduction, place, chosen)

    def _run(self, reproduction: Reproduction[R], place: Place, chosen: Sequence[str]) -> None:
        runs = self._without_record(reproduction, place, chosen)
        with caught_signals() as caught:
            finished = self._do(reproduction, place, runs, lambda: bool(caught))
        if not finished:
            self.screen.say(
                f"stopped; the runs that are done are in {place.runs}, and need not be again"
                + ("; those at hand go on where they were" if reproduction.goes_on else "")
            )
            raise typer.Exit(128 + caught[0])
        for name, seed in runs:
            if beginning := reproduction.beginning(name):
                place.beginning(beginning.name, seed).unlink(missing_ok=True)
        summarise(reproduction, place, self._page)
        self.screen.say(f"summary {place.summary}, pictures {place.pictures}")

    def _without_record(
        self, reproduction: Reproduction[R], place: Place, chosen: Sequence[str]
    ) -> list[tuple[str, int]]:
        """Scenarios and seeds."""
        names = list(dict.fromkeys(chosen)) or [
            name for name in reproduction.scenarios if reproduction.is_usual(name)
        ]
        records, defaults = Records(place.runs, reproduction.kind), reproduction.defaults()
        asked = [
            (name, seed)
            for name in names
            for seed in range(self._seeds or reproduction.seeds(name))
        ]
        runs = [
            (name, seed)
            for name, seed in asked
            if not records.find(name, seed, reproduction.settings(name, seed), defaults)
        ]
        if there := len(asked) - len(runs):
            self.screen.say(f"{there} of {len(asked)} runs are recorded in {place.runs} already")
        return runs

    def _do(
        self,
        reproduction: Reproduction[R],
        place: Place,
        runs: Sequence[tuple[str, int]],
        stop: Stop,
    ) -> bool:
        """False where it was stopped before all were done."""
        if not runs:
            return True
        jobs = jobs_of(reproduction, place, runs, self._device)
        with self.screen.watching(jobs) as watcher:
            return run_jobs(jobs, self._processes, watcher, stop)
