"""`make crash-test`: kills learners by the hundred, compares what they learned, writes it down.

Ends with 1 where any run has learned other bits than one that was never stopped.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.crashes.course import Course
from tests.crashes.harness import (
    ROOT,
    Death,
    Failed,
    Found,
    Run,
    differences,
    forking,
    killed_at_random,
    saved_after_step,
    unlike,
)
from tests.crashes.points import Point
from tests.crashes.varieties import VARIETIES, Variety

RESULT = ROOT / "docs" / "results" / "crash-test.json"
POINTS = VARIETIES[0]

app = typer.Typer(pretty_exceptions_enable=False)
Tell = Callable[[str, int], None]


@app.command()
def main(
    kills: Annotated[int, typer.Option(min=len(VARIETIES), help="At random, in all.")] = 220,
    fresh: Annotated[int, typer.Option(min=0, help="Of these, of processes started afresh.")] = 20,
    seed: Annotated[int, typer.Option(help="Of when to kill.")] = 1,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the result goes.")] = RESULT,
) -> None:
    """Kill learners at random and at each named point, and compare what they learned."""
    torch.set_num_threads(1)
    started = time.monotonic()
    points = [point for point in Point if point is not Point.IN_PAUSE]
    with (
        tempfile.TemporaryDirectory(prefix="crashes-") as base,
        forking() as children,
        progress(kills + len(points)) as tell,
    ):
        test = CrashTest(Path(base), children, tell)
        for number, variety in enumerate(VARIETIES):
            share, afresh = (portion(number, total) for total in (kills, fresh))
            with test.noting_failure(variety.name):
                test.kill_at_random(variety, share, afresh, Random(f"{seed}/{variety.name}"))
        for point in points:
            with test.noting_failure(point):
                test.kill_at(point)
    result = {
        **test.result(),
        "command": shlex.join(["python", "-m", "tests.crashes", *sys.argv[1:]]),
        "seed": seed,
        "seconds": round(time.monotonic() - started),
        "commit": commit(),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, value in result.items():
        if name not in {"named_points", "settings", "differences"}:
            print(f"{name}: {value}")
    print(f"written to {output}")
    raise typer.Exit(1 if test.failures or test.quarantined or test.refused else 0)


class CrashTest:
    """Args:
    base: directory for the runs.
    children: the process that forks them.
    tell: is told what is done, and how many kills more.
    """

    def __init__(self, base: Path, children: subprocess.Popen[str], tell: Tell) -> None:
        self.base = base
        self.children = children
        self.tell = tell
        self.deaths: list[Death] = []
        self.named: dict[str, int] = {}
        self.settings: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.quarantined = 0
        self.refused = 0
        self.compared = 0
        self.runs = 0
        self._wholes: dict[str, tuple[Found, Course]] = {}

    @contextmanager
    def noting_failure(self, name: str) -> Iterator[None]:
        """A learner that ends with an error is a failure of that part, and the others go on."""
        try:
            yield
        except Failed as failure:
            self.failures.append({name: str(failure)})

    def kill_at_random(self, variety: Variety, kills: int, fresh: int, random: Random) -> None:
        whole, course = self.whole(variety)

        def start(number: int) -> Run:
            return self.start(variety, f"run-{number}", course)

        killed = killed_at_random(start, kills, whole.steps, random, fresh)
        self.deaths += killed.deaths
        self.failures += unlike(killed, whole)
        self.quarantined += sum(found.quarantined for found in killed.founds)
        self.refused += killed.refused
        self.compared += killed.compared
        self.runs += len(killed.runs)
        self.settings.append(
            {
                "name": variety.name,
                **variety.groups,
                "partitions": variety.partitions,
                "steps": whole.steps,
                "dead_letters": len(whole.letters),
                "kills": len(killed.deaths),
                "sha256": whole.digest,
                "sha256_after_kills": [found.digest for found in killed.founds],
            }
        )
        self.tell(variety.name, len(killed.deaths))

    def kill_at(self, point: Point) -> None:
        """Kill one life that goes on from a checkpoint, or the first one before there is any."""
        whole, course = self.whole(POINTS)
        run = self.start(POINTS, f"point-{len(self.named)}", course)
        if point is not Point.BEFORE_FIRST_CHECKPOINT:
            run.live(saved_after_step(whole.steps // 5))
        death = run.live(dies_at=point)
        self.named[point] = int(death is not None and death.at_point)
        if death is None or not death.at_point or run.live() is not None:
            self.failures.append({str(point): "it did not come there, or not to its end"})
            return
        found = run.found()
        self.failures += [one for one in (differences(found, whole), *run.astray) if one]
        self.quarantined += found.quarantined
        self.refused += run.refused
        self.compared += run.compared
        self.runs += 1
        self.tell(point, 1)

    def whole(self, variety: Variety) -> tuple[Found, Course]:
        """What a run without a stop leaves, in a process of its own; and its course."""
        if variety.name not in self._wholes:
            variety.fill(self.base / variety.name / "stream")
            run = self.start(variety, "whole")
            if run.live(fresh=True) is not None:
                raise Failed("somebody else killed it")
            course = Course(self.base / variety.name / "stream", run.settings)
            self._wholes[variety.name] = run.found(), course
        return self._wholes[variety.name]

    def start(self, variety: Variety, name: str, course: Course | None = None) -> Run:
        base = self.base / variety.name
        return Run(variety, base / "stream", base / name, self.children, course=course)

    def result(self) -> dict[str, Any]:
        deaths = self.deaths
        return {
            "kills": len(deaths),
            "kills_after_progress": sum(death.progress for death in deaths),
            "started_afresh": sum(death.fresh for death in deaths),
            "phases": dict(Counter(death.phase for death in deaths).most_common()),
            "while_a_checkpoint_was_written": sum(death.writing for death in deaths),
            "while_checkpoints_were_pruned": sum(death.pruning for death in deaths),
            "checkpoints_compared": self.compared,
            "runs_compared": self.runs,
            "mismatches": len(self.failures),
            "differences": self.failures,
            "quarantined": self.quarantined,
            "refused": self.refused,
            "named_points": self.named,
            "settings": self.settings,
        }


def portion(number: int, total: int) -> int:
    """The share of one variety in a total."""
    return total * (number + 1) // len(VARIETIES) - total * number // len(VARIETIES)


def commit() -> str:
    """The commit of this tree, with ``-dirty`` where it is not as committed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


@contextmanager
def progress(total: int) -> Iterator[Tell]:
    """A bar on a terminal, a line each time elsewhere."""
    console = Console(stderr=True)
    done = 0

    def told(what: str, kills: int) -> None:
        nonlocal done
        done += kills
        print(f"{done} of {total} kills: {what}", file=sys.stderr, flush=True)

    if not console.is_terminal:
        yield told
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        bar = bars.add_task("killing", total=total)
        yield lambda what, kills: bars.update(bar, description=what, advance=kills)


if __name__ == "__main__":
    app()
