"""The story of a demo: what the learner's journal tells of a scenario that is known beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from services.journal_reading import JournalReader
from services.story import MAIN, SHADOW, Story
from si_stream import events

TRACKS = {MAIN: "Synaptic Intelligence", SHADOW: "without it (shadow)"}
LOOK_SECONDS = 0.1


class DemoStory(Story):
    """Args:
    scenario: its name.
    samples_of: each task's training samples, those of every epoch, in the order of the tasks.
    tracks: the main one and, where there is one, its shadow.
    """

    def __init__(self, scenario: str, samples_of: Mapping[str, int], tracks: Iterable[str]) -> None:
        super().__init__()
        self.scenario = scenario
        self.samples_of = samples_of
        self.ends = {track: [] for track in tracks}

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
    journal = JournalReader(directory)
    ended, steps, published = False, 0, 0
    while not (ended and published >= steps):
        reading = journal.read()
        if not reading.more:
            check()
            time.sleep(LOOK_SECONDS)
        for _, event in reading.told:
            yield event
            if isinstance(event, events.SnapshotPublished):
                published = event.step
            if isinstance(event, events.StreamEnded):
                ended, steps = True, event.step


def short_names(tasks: list[str]) -> list[str]:
    """Without what all begin with: 0-1 and 2-3 for digits-0-1 and digits-2-3."""
    prefix = tasks[0].partition("-")[0] + "-"
    if all(task.startswith(prefix) for task in tasks):
        return [task.removeprefix(prefix) for task in tasks]
    return tasks
