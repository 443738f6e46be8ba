"""`si-stream reproduce`: runs again what is claimed, and writes down what comes out.

Importing this module is cheap; torch and data sets are loaded when a command runs.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from si_stream.errors import SettingsError
from simulators.reproductions.silent.catalogue import TRIALS
from simulators.stopping import caught_signals

reproduce = typer.Typer(
    no_args_is_help=True, help="Run again what is claimed of the learner; write down what came out."
)


@reproduce.callback()
def group() -> None:
    """Each run leaves a record; a command that was stopped goes on from there."""


@reproduce.command("silent-boundaries")
def silent_boundaries(
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Only this one; may be said again. There are {', '.join(TRIALS)}.",
            show_default="all but split-digits, which needs no download",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Of each scenario.", show_default="3 to 10, as it takes long"),
    ] = None,
    directory: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="For silent-boundaries.json and, in a folder, records and pictures."
        ),
    ] = Path("si-stream-results"),
    processes: Annotated[int, typer.Option(min=1, help="Runs at a time, of a thread each.")] = 1,
    device: Annotated[
        Literal["cpu", "cuda", "auto"], typer.Option(help="auto is a GPU where there is one.")
    ] = "auto",
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A page in Markdown that has the table between its two marks."
        ),
    ] = None,
) -> None:
    """Tasks that nobody announces, beside the same streams told their boundaries.

    Data sets are looked for in the directory SI_STREAM_DATA and downloaded where they are missing.
    A run whose record is in the directory is not done again; Ctrl-C loses the runs at hand alone.
    """
    for name in scenario or ():
        if name not in TRIALS:
            raise SettingsError(f"there is no scenario {name!r}; there are {', '.join(TRIALS)}")
    from simulators.reproductions.reproduction import Place
    from simulators.reproductions.reproduction import reproduce as run
    from simulators.reproductions.screen import Screen
    from simulators.reproductions.silent.reproduction import SilentBoundaries

    reproduction, screen = SilentBoundaries(), Screen()
    place = Place(directory, reproduction.name)
    with caught_signals() as caught:
        finished = run(
            reproduction,
            place,
            screen,
            chosen=scenario or (),
            seeds=seeds,
            processes=processes,
            device=device,
            command=shlex.join(["si-stream", *sys.argv[1:]]),
            page=page,
            stop=lambda: bool(caught),
        )
    if not finished:
        screen.say(f"stopped; the runs that are done are in {place.runs}, and need not be again")
        raise typer.Exit(128 + caught[0])
    screen.say(f"summary {place.summary}, pictures {place.pictures}")
