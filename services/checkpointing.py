"""Checkpoints beside learning: copied between two batches, written on another thread.

Invariant: learning waits for the copy alone, unless two checkpoints are under way already. One that
cannot be written changes nothing: the one before is the newest, and the next one is tried. One that
is on disk counts as written, also where those that it replaces cannot be removed.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.background import Background
from si_stream import events
from si_stream.brokers.interface import Broker, Position
from si_stream.checkpoints.copies import Space, StateCopy
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import DeadLetters, Sealed
from si_stream.errors import BrokerError, CheckpointError, Superseded
from si_stream.rewinding import Keeper, Rewinder
from si_stream.settings import Settings
from si_stream.state import Ledger, State
from si_stream.telemetry import Telemetry

logger = logging.getLogger(__name__)
NEAR_RATIO = 0.1
REMIND_SECONDS = 3600.0


@dataclass
class _Held:
    """A copy's memory, its letters and its time; given back when nobody uses it."""

    space: Space
    sealed: Sealed
    written_seconds: float
    users: int = 1


class Checkpointing(Keeper):
    """Args:
        store: an epoch of it is claimed before the first `begin`.
        broker: told how far a checkpoint is, and what it need not keep any longer.

    Attributes:
        rewinder: where boundaries are detected; checkpoints are then written from its older copy.
        oldest: the lowest position of the newest checkpoints, before which nobody asks the broker
            for anything.
    """

    def __init__(
        self,
        settings: Settings,
        store: CheckpointStore,
        dead_letters: DeadLetters,
        broker: Broker,
        telemetry: Telemetry,
    ) -> None:
        self.settings = settings
        self.store = store
        self.dead_letters = dead_letters
        self.broker = broker
        self.telemetry = telemetry
        self.rewinder: Rewinder | None = None
        self.oldest: Mapping[int, Position] = {}
        self._spaces: list[Space] = []
        self._held: dict[int, _Held] = {}
        self._background = Background("checkpoints", limit=2)
        self._told: deque[events.Event] = deque()
        self._remind_at = 0.0

    @property
    def is_idle(self) -> bool:
        return self._background.is_idle

    def begin(self, state: State, epoch: int) -> None:
        """Have the state written, as it is now, or as it was before anything that may be undone."""
        self._background.wait_for_room()
        if self.rewinder is None:
            copy = self.copy(state)
        else:
            copy = self.rewinder.older
            self._held[id(copy)].users += 1

        def job() -> None:
            try:
                self._write(copy, self._held[id(copy)], epoch)
            finally:
                self.drop(copy)

        self._background.start(job)

    def pending(self, state: State) -> Ledger:
        """Of what the next `begin` would write."""
        return state.ledger if self.rewinder is None else self.rewinder.older.ledger

    def copy(self, state: State) -> StateCopy:
        started = time.perf_counter()
        # The one that was given back last, whose pages are there.
        space = self._spaces.pop() if self._spaces else Space()
        copy = space.copy(state)
        self._held[id(copy)] = _Held(space, self.dead_letters.seal(), time.time())
        self.telemetry.checkpoint_copy_seconds.set(time.perf_counter() - started)
        return copy

    def drop(self, copy: StateCopy) -> None:
        held = self._held[id(copy)]
        held.users -= 1
        if not held.users:
            del self._held[id(copy)]
            self._spaces.append(held.space)

    def rewound(self, copy: StateCopy) -> None:
        """Faults that are met again have their letters, as after a resume."""
        self.dead_letters.flush(self.dead_letters.seal())
        mark = self.dead_letters.flush(self._held[id(copy)].sealed)
        self.dead_letters.resume(mark, copy.ledger.counted)

    def finished(self) -> Iterator[events.Event]:
        """What has become of checkpoints since this was last asked."""
        while self._told:
            yield self._told.popleft()

    def watch_retention(self) -> None:
        """See how near a broker with a retention of its own has come to the oldest checkpoint.

        Raises:
            BrokerError: the broker does not say.
        """
        if self.broker.keeps_all:
            return
        for partition, place in self.oldest.items():
            low, high = self.broker.watermarks(self.settings.stream.name, partition)
            margin = retention_margin(place.offset, low, high)
            self.telemetry.retention.labels(partition).set(margin)
            if margin < NEAR_RATIO and time.monotonic() >= self._remind_at:
                self._remind_at = time.monotonic() + REMIND_SECONDS
                logger.warning(
                    "partition %d: the broker keeps offsets %d to %d, and the oldest checkpoint "
                    "stands at %d; raise the topic's retention, or the learner falls out of it",
                    *(partition, low, high - 1, place.offset),
                )

    def wait(self, seconds: float) -> bool:
        """Whether all that was begun has ended in time, well or not."""
        return self._background.wait(seconds)

    def close(self) -> None:
        self._background.close()

    def _write(self, copy: StateCopy, held: _Held, epoch: int) -> None:
        ledger, options = copy.ledger, self.settings.checkpoints
        started = time.perf_counter()
        try:
            self.store.require(epoch)
            ledger.dead_letters = self.dead_letters.flush(held.sealed)
            path, size = self.store.write(copy, epoch, held.written_seconds)
        except Superseded:
            raise
        except (CheckpointError, BrokerError) as error:
            self._told.append(events.WritingFailed("checkpoint", str(error)))
            return
        try:
            self.oldest = self.store.prune(epoch, options.keep, options.keep_at_boundaries)
        except CheckpointError as error:
            logger.warning("older checkpoints are not removed: %s", error)
        seconds = time.perf_counter() - started
        self._told.append(events.CheckpointWritten(ledger.steps, ledger.samples, seconds, size))
        self.telemetry.is_current("checkpoint", held.written_seconds)
        try:
            self._tell_broker(ledger, f"{epoch}/{path.name}")
        except BrokerError as error:
            logger.warning("the broker was not told of a checkpoint: %s", error)

    def _tell_broker(self, ledger: Ledger, checkpoint: str) -> None:
        stream = self.settings.stream
        offsets = {partition: place.offset for partition, place in ledger.position.items()}
        self.broker.commit_hint(stream.name, offsets, checkpoint)
        self.watch_retention()
        if self.broker.keeps_all and stream.retention == "checkpoints":
            for partition, place in self.oldest.items():
                self.broker.prune(stream.name, partition, place.offset)
            self.dead_letters.prune(ledger.dead_letters)


def retention_margin(offset: int, low: int, high: int) -> float:
    """Of what is kept, the share that lies before an offset; 1 where nothing can be lost.

    >>> retention_margin(75, 50, 100), retention_margin(50, 50, 100), retention_margin(7, 0, 100)
    (0.5, 0.0, 1.0)
    >>> retention_margin(100, 100, 100), retention_margin(99, 100, 100)  # of which nothing is kept
    (1.0, 0.0)
    """
    if low == 0 or offset >= high:
        return 1.0
    return (offset - low) / (high - low) if offset > low else 0.0
