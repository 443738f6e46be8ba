"""The rewind: back to before a change that was noticed late, and on with the boundary in its place.

Two copies of the state are kept, some thousands of samples apart. When the errors show a change,
the newest copy from before it is restored, and the stream is read again from there: up to the cut
under the old task, then a boundary, then on as the new one. So a rewind is a resume from memory.
Invariant: the state after a detected boundary equals, to the bit, that of a learner that was told
of it at the cut. Checkpoints are written from the older copy, so that a learner that resumes still
has before it all that an alarm to come may want to take back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from si_stream import events
from si_stream.batches import Batch, Segment, TaskEnd
from si_stream.boundaries.drift import Alarm
from si_stream.boundaries.returning import COMPARED_SAMPLES, known_world
from si_stream.boundaries.signals import Seen
from si_stream.brokers.interface import Position
from si_stream.checkpoints.copies import Space, StateCopy
from si_stream.settings import Settings
from si_stream.state import State


class Keeper(ABC):
    """Where copies come from and go to."""

    @abstractmethod
    def copy(self, state: State) -> StateCopy: ...

    @abstractmethod
    def drop(self, copy: StateCopy) -> None:
        """It is not needed for a rewind any more."""

    @abstractmethod
    def rewound(self, copy: StateCopy) -> None:
        """The copy has been restored: what came after it will come again."""


class MemoryKeeper(Keeper):
    """For a loop without a service around it."""

    def copy(self, state: State) -> StateCopy:
        return Space().copy(state)

    def drop(self, copy: StateCopy) -> None:
        pass

    def rewound(self, copy: StateCopy) -> None:
        pass


class _Passed(NamedTuple):
    """A batch that has been learned, by the number of its first sample in the model's life."""

    first: int
    segments: tuple[Segment, ...]
    size: int


class Rewinder:
    """Args:
        state: as it is when learning begins, or goes on from a checkpoint.
        keeper: makes the copies.

    Attributes:
        older: what checkpoints are written from.
        heard: of each partition, the first row that has not been told of yet; those before it are
            read again after a rewind.
    """

    def __init__(self, state: State, keeper: Keeper) -> None:
        self._keeper = keeper
        self.options = state.settings.detection
        self.max_tasks = state.settings.boundaries.max_tasks
        self.spacing = spacing_samples(state.settings)
        self.older = self.newer = keeper.copy(state)
        self.heard: dict[int, Position] = {}
        self._passed: deque[_Passed] = deque()
        self._compared: int | None = None
        self._opened: set[tuple[str, int]] = set()

    def untold(self, batch: Batch, labels: Sequence[int]) -> list[int]:
        """Of the labels that a batch has opened for its task, those not told of before a rewind."""
        partition, offset, rows = batch.segments[0]
        again = Position(offset, rows[0]) < self.heard.get(partition, Position())
        task = batch.task.name
        new = [one for one in labels if not (again and (task, one) in self._opened)]
        self._opened.update((task, label) for label in new)
        return new

    def saw_change(self, state: State, batch: Batch, emit: events.Emit) -> bool:
        """Watch the errors of the batch that was just learned.

        Returns whether the state was rewound, and the stream is to be read from its position.
        """
        drift, ledger, latest = state.drift, state.ledger, state.main.latest
        assert drift is not None
        assert latest is not None
        self._passed.append(_Passed(ledger.samples - batch.size, batch.segments, batch.size))
        seen = Seen(batch.inputs, batch.labels, latest.logits_BC, latest.wrong_B)
        alarm = drift.see(seen)
        if alarm is not None:
            began = ledger.samples - drift.seen
            cut = began + alarm.cut
            decision = self._decision(state, alarm, cut)
            figures = (began + alarm.sample, cut, alarm.evidence, decision, alarm.signal)
            emit(events.Alarmed(batch.task.name, *figures, batch.then.positions))
            if decision == "taken":
                partition, place = self._place_of(cut)
                self._rewind(state, self._newest_before(cut), emit)
                state.ledger.cut = partition, place
                return True
        if self._is_known_world(state, batch, emit):
            return True
        if ledger.samples - self.newer.ledger.samples >= self.spacing:
            self._keep(state)
        return False

    def was_detected_before(self, state: State, end: TaskEnd, emit: events.Emit) -> bool:
        """Whether a boundary that is told is the same as one that was detected just before.

        Then the told place wins: the state has been rewound to before both, and the stream is to be
        read again.
        """
        ledger = state.ledger
        detected = ledger.detections[-1] if ledger.detections else None
        if not end.is_told or detected is None or ledger.told_at is not None:
            return False
        told_at = ledger.samples
        is_before = self.older.ledger.detections != ledger.detections
        if told_at - detected > self.options.told_within_samples or not is_before:
            return False
        self._rewind(state, self.older, emit)
        state.ledger.told_at = told_at
        return True

    def at_boundary(self, state: State, end: TaskEnd) -> None:
        """A task has ended. What was told will not be taken back; what was detected may be."""
        assert state.drift is not None
        state.drift.reset()
        self._keep(state)
        if end.source != "detected" and self.older is not self.newer:
            self._keeper.drop(self.older)
            self.older = self.newer

    def _is_known_world(self, state: State, batch: Batch, emit: events.Emit) -> bool:
        """Whether the first samples of a task show that it is one that is known.

        Then the state has been rewound to the boundary before it, to take up the known one instead.
        """
        ledger, portraits = state.ledger, state.portraits
        seen, tasks = portraits.seen, ledger.tasks
        is_due = seen >= COMPARED_SAMPLES > seen - batch.size
        if not (is_due and tasks.unnamed and self.options.returning):
            return False
        # The task that has just ended is out of the question: its end is what was noticed.
        others = {task: one for task, one in portraits.known.items() if task != tasks.ended}
        first = ledger.samples - seen
        if not others or self.older.ledger.samples > first:
            return False
        number, fits = known_world(portraits.drawn, others)
        near = min(fits, key=lambda task: fits[task].distance) if number is None else number
        name, fit = tasks.known[near].name, fits[near]
        returned = None if number is None else name
        figures = (name, fit.distance, fit.limit)
        if first != self._compared:  # a rewind to the boundary comes by here again
            emit(events.WorldCompared(batch.task.name, first, returned, *figures))
        self._compared = first
        if returned is None:
            return False
        self._rewind(state, self._newest_before(first), emit)
        state.ledger.tasks.announced = returned
        decided = self._keeper.copy(state)  # instead of the copy that does not know of it
        self._keeper.drop(self.newer)
        if self.older is self.newer:
            self.older = decided
        self.newer = decided
        return True

    def _decision(self, state: State, alarm: Alarm, cut: int) -> events.Decision:
        ledger, options = state.ledger, self.options
        if alarm.cut > alarm.sample:
            return "no-cut"
        if alarm.evidence < options.min_evidence_nats:
            return "weak-evidence"
        if alarm.cut < options.min_task_samples:
            return "short-task"
        if cut < self.older.ledger.samples:  # decided otherwise before a restart: by other settings
            return "too-old"
        if ledger.told_at is not None and ledger.told_at - cut <= options.told_within_samples:
            return "told"
        if len(ledger.tasks.known) >= self.max_tasks:
            return "max-tasks"
        recent = [one for one in ledger.detections if one > cut - options.cap_samples]
        return "cap" if len(recent) >= options.max_boundaries else "taken"

    def _newest_before(self, sample: int) -> StateCopy:
        """The copy from before a sample of the model's life."""
        return self.newer if self.newer.ledger.samples <= sample else self.older

    def _rewind(self, state: State, copy: StateCopy, emit: events.Emit) -> None:
        """To one of the copies."""
        if copy is not self.newer:
            self._keeper.drop(self.newer)
            self.newer = copy
        before = state.ledger.samples
        for partition, row in state.ledger.counted.items():
            self.heard[partition] = max(row, self.heard.get(partition, row))
        measures = {name: measured.copied() for name, measured in copy.measures.items()}
        state.resume(copy.ledger.copied(), measures, copy.tensors)
        state.holdouts.sets = dict(copy.holdouts)
        while self._passed and self._passed[-1].first >= copy.ledger.samples:
            self._passed.pop()
        self._keeper.rewound(copy)
        emit(events.Rewound(copy.ledger.samples, before - copy.ledger.samples))

    def _keep(self, state: State) -> None:
        if self.older is not self.newer:
            self._keeper.drop(self.older)
        self.older, self.newer = self.newer, self._keeper.copy(state)
        while self._passed and self._passed[0].first < self.older.ledger.samples:
            self._passed.popleft()

    def _place_of(self, sample: int) -> tuple[int, Position]:
        """Partition and place of a sample of the model's life."""
        batch = next(one for one in self._passed if sample < one.first + one.size)
        index = sample - batch.first
        for partition, offset, rows in batch.segments:
            if index < len(rows):
                return partition, Position(offset, int(np.asarray(rows)[index]))
            index -= len(rows)
        raise AssertionError(f"batch of {batch.size} samples has no sample {sample - batch.first}")


def spacing_samples(settings: Settings) -> int:
    """Between two copies: beyond the window that a cut is looked for in and the samples that a
    world is known by, and so far apart that copying takes a small part of the time."""
    batch, window = settings.model.batch_size, settings.detection.window_samples
    return max(2 * window, 64 * batch, 2 * COMPARED_SAMPLES)
