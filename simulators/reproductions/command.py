"""`si-stream reproduce`: runs again what is claimed, and writes down what comes out.

Importing this module is cheap; torch and data sets are loaded when a command runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from si_stream.errors import SettingsError
from simulators.reproductions.flags import RESULTS, Device, Directory, Page, Processes
from simulators.reproductions.paper.catalogue import BENCHMARKS
from simulators.reproductions.paper.command import importance_command, paper_command
from simulators.reproductions.silent.catalogue import TRIALS

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
    directory: Directory = RESULTS,
    processes: Processes = 1,
    device: Device = "auto",
    page: Page = None,
) -> None:
    """Tasks that nobody announces, beside the same streams told their boundaries.

    Data sets are looked for in the directory SI_STREAM_DATA and downloaded where they are missing.
    A run whose record is in the directory is not done again; Ctrl-C loses the runs at hand alone.
    """
    for name in scenario or ():
        if name not in TRIALS:
            raise SettingsError(f"there is no scenario {name!r}; there are {', '.join(TRIALS)}")
    from simulators.reproductions.runner import Runner
    from simulators.reproductions.silent.reproduction import SilentBoundaries

    runner = Runner(directory, seeds, processes, device, page)
    runner.run(SilentBoundaries(), chosen=scenario or ())


for _benchmark in BENCHMARKS.values():
    reproduce.command(_benchmark.name)(paper_command(_benchmark))
reproduce.command("importance-correlation")(importance_command)
