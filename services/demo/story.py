"""The story of a demo: what the learner's journal tells, kept as tables and figures need it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from services.journal import NAME
from si_stream import events

MAIN, SHADOW = "main", "shadow"
TRACKS = {MAIN: "Synaptic Intelligence", SHADOW: "without it (shadow)"}
LOOK_SECONDS = 0.1


class Story:
    """Args:
    scenario: its name.
    samples_of: each task's training samples, those of every epoch, in the order of the tasks.
    tracks: the main one and, where there is one, its shadow.
    """

    def __init__(self, scenario: str, samples_of: Mapping[str, int], tracks: Iterable[str]) -> None:
        self.scenario = scenario
        self.samples_of = samples_of
        self.began: dict[str, int] = {}
        """Samples learned before each task that has begun."""
        self.curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
        """By track and task: samples learned, and the holdout accuracy then."""
        self.ends: dict[str, list[events.Consolidated]] = {track: [] for track in tracks}
        """By track: what was said at each boundary."""
        self.version = (0, 0)
        """Epoch and step of the newest snapshot."""

    def hear(self, event: events.Event) -> None:
        match event:
            case events.TaskOpened():
                self.began[event.task] = event.samples
            case events.Evaluated():
                curve = self.curves.setdefault((event.track, event.task), [])
                curve.append((event.samples, event.accuracy))
            case events.Consolidated():
                self.ends[event.track].append(event)
            case events.SnapshotPublished():
                self.version = (event.epoch, event.step)

    @property
    def samples(self) -> int:
        return sum(self.samples_of.values())

    @property
    def boundaries(self) -> int:
        """That every track has reached."""
        return min(len(ends) for ends in self.ends.values())

    def forgotten(self, track: str, boundary: int, task: int) -> float:
        """How far a task's accuracy at a boundary is below its best before; 0 at its first."""
        rows = [end.row for end in self.ends[track][: boundary + 1]]
        cells = [cell for row in rows if task < len(row) and (cell := row[task]) is not None]
        return max(cells[:-1]) - cells[-1] if len(cells) > 1 else 0.0


def follow(directory: Path, check: Callable[[], None]) -> Iterator[events.Event]:
    """A learner's events as they are written down, from the first until the stream has ended and
    predictors can have all that was learned.

    Args:
        directory: of the model.
        check: called while there is nothing to read; what it raises ends the waiting.
    """
    path = directory / NAME
    while not path.exists():
        check()
        time.sleep(LOOK_SECONDS)
    ended, steps, published = False, 0, 0
    with path.open(encoding="utf-8") as journal:
        line = ""
        while True:
            line += journal.readline()
            if not line.endswith("\n"):
                check()
                time.sleep(LOOK_SECONDS)
                continue
            event = read_event(line)
            line = ""
            yield event
            if isinstance(event, events.SnapshotPublished):
                published = event.step
            if isinstance(event, events.StreamEnded):
                ended, steps = True, event.step
            if ended and published >= steps:
                return


def read_event(line: str) -> events.Event:
    values = json.loads(line)
    del values["time_seconds"]
    event: events.Event = getattr(events, values.pop("event"))(**values)
    return event


def short_names(tasks: list[str]) -> list[str]:
    """Without what all begin with: 0-1 and 2-3 for digits-0-1 and digits-2-3."""
    prefix = tasks[0].partition("-")[0] + "-"
    if all(task.startswith(prefix) for task in tasks):
        return [task.removeprefix(prefix) for task in tasks]
    return tasks
