"""What a life of the learner is doing, in memory that outlives it.

Written by the child, read by whoever kills it. Invariant: what stands there after a SIGKILL is what
was being done at that moment, for nothing is kept back in a buffer.
"""

from __future__ import annotations

import mmap
from enum import IntEnum
from pathlib import Path

SLOT_BYTES = 8


class Activity(IntEnum):
    """Of the thread that learns."""

    STARTING = 0
    RECOVERING = 1
    BETWEEN = 2
    PAUSE = 3
    STEP = 4
    CONSOLIDATION = 5
    FINISHING = 6


class Slot(IntEnum):
    ACTIVITY = 0
    STEPS = 1
    """Of the model, through all its lives."""
    STEPS_HERE = 2
    """That this life has trained."""
    WRITING = 3
    """Whether a checkpoint is being written, by another thread."""
    PRUNING = 4
    COMMITS = 5
    """Checkpoints of this life."""
    BEGUN = 6
    """Whether Python has loaded all, and the learner starts."""
    POINTS = 7
    """Whether it came to the point that it was to die at."""


class Trace:
    """Args:
    path: of a file, made where it is not there; each life has one of its own.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(SLOT_BYTES * len(Slot))
            memory = mmap.mmap(file.fileno(), SLOT_BYTES * len(Slot))
        self._numbers = memoryview(memory).cast("Q")  # struct would zero a slot before it sets it

    def __getitem__(self, slot: Slot) -> int:
        return self._numbers[slot]

    def __setitem__(self, slot: Slot, number: int) -> None:
        self._numbers[slot] = number

    def phase(self) -> str:
        """What the learning thread was doing, in words."""
        activity = Activity(self[Slot.ACTIVITY])
        if activity is Activity.BETWEEN and not self[Slot.STEPS_HERE]:
            return "recovered, before a step"
        return {
            Activity.STARTING: "starting",
            Activity.RECOVERING: "recovering",
            Activity.BETWEEN: "between steps",
            Activity.PAUSE: "in the pause before a suspect batch",
            Activity.STEP: "in a step",
            Activity.CONSOLIDATION: "in a consolidation",
            Activity.FINISHING: "learned all, saving it",
        }[activity]
