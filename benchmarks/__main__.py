"""`python -m benchmarks`: runs them, prints a table and writes `benchmarks/latest.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from benchmarks.catalogue import BENCHMARKS
from benchmarks.rounds import Effort, Figure
from deploy.local_process import NotAvailable
from simulators.reproductions.machine import commit

LATEST = Path(__file__).with_name("latest.json")


app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run this one; may be repeated.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Pairs of rounds of each; by default its own number.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A round that is too short to say anything.")
    ] = False,
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Where the figures go, beside those that are there of others."
        ),
    ] = LATEST,
) -> None:
    """Set the speed of SI Stream beside its baselines; about twenty-five minutes on two cores."""
    unknown = sorted(set(only or ()) - BENCHMARKS.keys())
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    torch.set_num_threads(1)
    effort = Effort(1 if quick and rounds is None else rounds, quick)
    figures: dict[str, Figure] = {}
    for name in BENCHMARKS:
        if name in (only or BENCHMARKS):
            try:
                figures[name] = _run(name, effort)
            except NotAvailable as error:
                print(f"{name} is skipped: {error}")
            _write(output, figures)  # at once: a later one may fail
    Console().print(_table(figures))
    print(f"written to {output}")


def _write(output: Path, figures: dict[str, Figure]) -> None:
    entries = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    code = commit()
    entries |= {name: {**found._asdict(), "commit": code} for name, found in figures.items()}
    output.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def _run(name: str, effort: Effort) -> Figure:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    # Drawn between rounds alone: a thread that draws would be measured with them.
    if not console.is_terminal:
        console.print(name)
    with Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=False,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task(name, total=None)

        def tick(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, refresh=True)

        return BENCHMARKS[name].run(effort._replace(tick=tick))


def _table(figures: dict[str, Figure]) -> Table:
    table = Table(Column("benchmark", no_wrap=True), "value", "spread", "aim", "baseline")
    for name, (value, unit, baseline, spread) in figures.items():
        benchmark = BENCHMARKS[name]
        style = "green" if benchmark.reaches(value) else "red"
        table.add_row(
            name,
            f"[{style}]{value:.3g}[/] {unit}",
            f"{spread:.2g}",
            benchmark.aim,
            f"{baseline:.3g} {benchmark.baseline}",
        )
    return table


if __name__ == "__main__":
    app()
