"""The runner: does a reproduction as the options of a command ask, and says where all is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from simulators.reproductions.records import R
from simulators.reproductions.reproduction import Place, Reproduction, reproduce
from simulators.reproductions.screen import Screen
from simulators.stopping import caught_signals


class Runner:
    """Args:
    seeds: of each scenario; its own number by default.
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
        """Do it.

        Raises:
            Exit: it was stopped.
        """
        place = Place(self.directory, reproduction.name)
        with caught_signals() as caught:
            finished = reproduce(
                reproduction,
                place,
                self.screen,
                chosen=chosen,
                seeds=self._seeds,
                processes=self._processes,
                device=self._device,
                page=self._page,
                stop=lambda: bool(caught),
            )
        if not finished:
            self.screen.say(
                f"stopped; the runs that are done are in {place.runs}, and need not be again"
                + ("; those at hand go on where they were" if reproduction.goes_on else "")
            )
            raise typer.Exit(128 + caught[0])
        self.screen.say(f"summary {place.summary}, pictures {place.pictures}")
