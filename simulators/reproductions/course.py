"""A course: one learner's life over one stream, by the service's own loop, in memory.

Invariant: what is learned is what a service learns from the same stream under the same settings;
nothing is written, and watching changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream import events
from si_stream.batches import Batch
from si_stream.brokers.interface import Envelope
from si_stream.checkpoints.copies import Space, StateCopy
from si_stream.dead_letters import Fault
from si_stream.errors import SettingsError
from si_stream.evaluation.measures import Measures
from si_stream.loop import Host, learn_stream
from si_stream.rewinding import Keeper, Rewinder
from si_stream.settings import Settings
from si_stream.state import Ledger, State
from si_stream.tracks import MAIN
from simulators.reproductions.jobs import Stopped
from simulators.reproductions.stream import MadeStream
from simulators.scenarios import SampleSet

Errors = npt.NDArray[np.bool_]
EVALUATION_SAMPLES = 2000  # taken at once; bounds the memory
SAVE_SECONDS = 300.0  # between two times


class Noticed(NamedTuple):
    """An alarm, and how many samples had been learned when it came."""

    alarm: events.Alarmed
    learned: int


class Opening(NamedTuple):
    """From a sample of the stream on, a task is active."""

    first: int
    task: str
    head: int


class Resumed(NamedTuple):
    """What a course goes on from: of a learner, between two batches."""

    ledger: Ledger
    measures: dict[str, Measures]
    tensors: dict[str, Tensor]


class TakenBack(NamedTuple):
    """Errors of samples that were learned again after a rewind, from one of them on."""

    first: int
    wrong: Errors


class Course(Host):
    """Args:
        stream: from its beginning to its end message.
        settings: of the learner, at the start of its life.
        keep_errors: whether `wrong` and `taken_back` are kept, one byte a sample.
        progress: is told how many samples are learned, batch by batch.
        at_boundary: is told the task that has ended, once it is consolidated.
        stop: asked after each batch.
        save: called now and then between two batches, and when it is stopped.
        resumed: where it goes on; of a learner that watches for no changes.

    Attributes:
        state: of the learner.
        alarms: each once, in the order in which they came.
        compared: worlds that were held against the known ones, each once.
        openings: which tasks were active from where on, as it is in the end.
        again: samples that were learned more than once.
    """

    def __init__(
        self,
        stream: Iterable[Envelope],
        settings: Settings,
        *,
        keep_errors: bool = False,
        progress: Callable[[int], None] = lambda _: None,
        at_boundary: Callable[[str], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        save: Callable[[], None] = lambda: None,
        resumed: Resumed | None = None,
    ) -> None:
        torch.set_num_threads(settings.compute.threads)
        self.state = State(settings, "made")
        if resumed is not None:
            self.state.resume(*resumed)
        self.alarms: list[Noticed] = []
        self.compared: list[events.WorldCompared] = []
        self.openings: list[Opening] = []
        self.again = 0
        self.taken_back: list[TakenBack] = []
        self._stream = MadeStream(stream, self._offset)
        self._rewinder = Rewinder(self.state, _Keeper()) if self.state.drift else None
        self._keep_errors = keep_errors
        self._wrong: list[Errors] = []
        self._progress = progress
        self._at_boundary = at_boundary
        self._stop = stop
        self._save = save
        self._saved = monotonic()

    def learn(self) -> None:
        """The whole stream.

        Raises:
            Stopped: as it was asked for.
            NotFinite: the settings are no good.
        """
        again = True
        while again:
            with self._stream.reader(self._offset) as reader:
                again = learn_stream(reader, self.state, self, self._rewinder, until_end=True)
        if self._stop() and not self.state.ledger.ended:
            self._save()
            raise Stopped

    @property
    def _offset(self) -> int:
        """Of the message that is read next."""
        position = self.state.ledger.position
        return position[0].offset if position else 0

    @property
    def wrong(self) -> Errors:
        """Of each sample, whether it was predicted wrongly before it was learned."""
        return np.concatenate(self._wrong) if self._wrong else np.zeros(0, np.bool_)

    def active_in(self, first: int, end: int) -> Opening:
        """Of the task under which most of these samples were learned, the earlier of two equals."""
        ends = [opening.first for opening in self.openings[1:]] + [self.state.ledger.samples]
        shared: dict[tuple[str, int], int] = {}
        for opening, until in zip(self.openings, ends, strict=True):
            share = min(end, until) - max(first, opening.first)
            if share > 0:
                key = (opening.task, opening.head)
                shared[key] = shared.get(key, 0) + share
        task, head = max(shared, key=lambda key: shared[key])
        return next(one for one in self.openings if (one.task, one.head) == (task, head))

    def head_of(self, task: str) -> int:
        """Of a task that has begun, by the name that the stream gives it."""
        return next(one.head for one in self.state.ledger.tasks.known if one.name == task)

    def accuracy(self, samples: SampleSet, head: int) -> float:
        """The share of a test set that one head predicts right, 0 to 1."""
        right = 0
        for first in range(0, len(samples), EVALUATION_SAMPLES):
            which = np.arange(first, min(first + EVALUATION_SAMPLES, len(samples)))
            inputs, labels = (torch.from_numpy(part) for part in samples.take(which))
            right += self.state.main.learner.count_correct(inputs, labels, head)
        return right / len(samples)

    def emit(self, event: events.Event) -> None:
        match event:
            case events.TaskOpened():
                self.openings.append(Opening(event.samples, event.task, event.head))
            case events.BatchLearned():
                latest = self.state.main.latest
                if self._keep_errors and latest is not None:
                    self._wrong.append(latest.wrong_B.cpu().numpy())
                self._progress(self.state.ledger.samples)
            case events.Alarmed():
                noticed = Noticed(event, self.state.ledger.samples)
                if noticed not in self.alarms:
                    self.alarms.append(noticed)
            case events.WorldCompared():
                if event not in self.compared:
                    self.compared.append(event)
            case events.Consolidated():
                if event.track == MAIN:
                    self._at_boundary(event.task)
            case events.Rewound():
                self._rewind(event.samples, event.again)
            case events.BatchSkipped():
                raise SettingsError(
                    f"the loss or a gradient of {event.samples} samples of task {event.task!r} was "
                    "not a finite number: a run that leaves samples out is none; lower the "
                    "learning rate"
                )
            case events.Rejected():
                raise SettingsError(
                    f"the learner rejects what the simulator sends, {event.detail}: "
                    "the settings do not fit the stream"
                )

    def _rewind(self, samples: int, again: int) -> None:
        self.again += again
        # A copy of a place where a task begins is of before its opening, which is told again.
        self.openings = [opening for opening in self.openings if opening.first < samples]
        if self._keep_errors:
            wrong = self.wrong
            self.taken_back.append(TakenBack(samples, wrong[samples:]))
            self._wrong = [wrong[:samples]]

    def set_aside(self, fault: Fault) -> None:
        pass

    def in_flight(self, batch: Batch) -> AbstractContextManager[None]:
        return nullcontext()

    def stopping(self) -> bool:
        return self._stop()

    def ends(self) -> list[int] | None:
        return None

    def between_batches(self, state: State) -> None:
        needed = self._rewinder.older.ledger if self._rewinder else state.ledger
        if needed.position:
            self._stream.forget(needed.position[0].offset)
        if monotonic() - self._saved >= SAVE_SECONDS:
            self._save()
            self._saved = monotonic()

    def checkpoint(self, state: State) -> None:
        pass

    def publish(self, state: State) -> None:
        pass


class _Keeper(Keeper):
    """Copies into memory that is there already."""

    def __init__(self) -> None:
        self._free: list[Space] = []
        self._taken: dict[int, Space] = {}

    def copy(self, state: State) -> StateCopy:
        space = self._free.pop() if self._free else Space()
        copy = space.copy(state)
        self._taken[id(copy)] = space
        return copy

    def drop(self, copy: StateCopy) -> None:
        self._free.append(self._taken.pop(id(copy)))

    def rewound(self, copy: StateCopy) -> None:
        pass


def places_behind(alarms: Sequence[Noticed]) -> list[int]:
    """Where a learner that does not go back ends its tasks: behind the batch in which it noticed.

    The next sample of each alarm that was taken.
    """
    return [learned for alarm, learned in alarms if alarm.decision == "taken"]
