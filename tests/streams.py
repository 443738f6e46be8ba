"""What the tests of the loop share: small streams, a host in memory, and what a state holds.

Everything that a checkpoint holds is compared, but for the clock.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from si_stream import events
from si_stream.batches import Batch
from si_stream.brokers.interface import Broker, Envelope, Reader, Record
from si_stream.brokers.memory import MemoryBroker
from si_stream.checkpoints.copies import Space
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import Fault
from si_stream.loop import Host, learn_stream
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.rewinding import MemoryKeeper, Rewinder
from si_stream.settings import Settings
from si_stream.state import State
from simulators.options import ReplayOptions
from simulators.replay import envelopes
from simulators.scenarios import Scenario, load_scenario

STREAM = "samples"
SMALL: dict[str, Any] = {
    "input_shape": (4,),
    "outputs": 3,
    "batch_size": 8,
    "network": {"hidden": (6,), "head_initialisation": "glorot-uniform"},
}
DIGITS: dict[str, Any] = {
    "input_shape": (8, 8),
    "outputs": 2,
    "batch_size": 16,
    "network": {"hidden": (16, 16)},
}


def settings(directory: Path = Path("nowhere"), **groups: Any) -> Settings:
    """Of a small model; what is given goes over it, group by group."""
    defaults: dict[str, Any] = {
        "model": SMALL,
        "compute": {"device": "cpu"},
        "learner": {"metrics_port": 0},
        "stream": {"retention": "all"},  # the same stream is learned again
    }
    chosen = {name: group | groups.pop(name, {}) for name, group in defaults.items()}
    return Settings.model_validate({"directory": directory, **chosen, **groups})


def samples(
    count: int,
    first: int = 0,
    *,
    bad: Sequence[int] = (),
    shape: tuple[int, ...] = (4,),
    **kind: Any,
) -> Samples:
    """Samples numbered from ``first`` on, no two alike; the labels of ``bad`` rows are 99."""
    numbers = np.arange(first, first + count)
    inputs = np.outer(numbers + 1, 37 + np.arange(np.prod(shape)) ** 2) // 7 % 256
    inputs[:, 0], inputs[:, 1] = numbers % 256, numbers // 256
    labels = (numbers % 3).astype(np.int64)
    labels[list(bad)] = 99
    return Samples(inputs.reshape(count, *shape).astype(np.uint8), labels, **kind)


def enveloped(messages: Iterable[Message | Envelope]) -> list[Envelope]:
    """Messages as they travel; what is an envelope already stays as it is."""
    return [
        one
        if isinstance(one, Envelope)
        else encode(one, source="/tests", event_id=str(n) if isinstance(one, Samples) else None)
        for n, one in enumerate(messages)
    ]


@cache
def digits() -> Scenario:
    return load_scenario("split-digits", task_count=3)


def digits_stream(**options: Any) -> list[Envelope]:
    """Three tasks of two digits, 0.9 thousand samples in all, and their holdouts."""
    return list(envelopes(digits(), ReplayOptions(**options)))


def memory_broker(*partitions: Iterable[Message | Envelope]) -> MemoryBroker:
    """A broker that holds these messages in each of the stream's partitions."""
    broker = MemoryBroker()
    filled(broker, *partitions)
    return broker


def filled(broker: Broker, *partitions: Iterable[Message | Envelope]) -> Broker:
    broker.create_stream(STREAM, len(partitions))
    for number, messages in enumerate(partitions):
        broker.append(STREAM, number, enveloped(messages))
    return broker


def dealt(
    messages: Iterable[Message | Envelope], pattern: str, partitions: int = 3
) -> list[list[Message | Envelope]]:
    """The messages of each partition: boundaries and ends go to all, others to those of the
    pattern in turn, from its beginning after each boundary.
    """
    held: list[list[Message | Envelope]] = [[] for _ in range(partitions)]
    turn = 0
    for message in messages:
        if isinstance(message, Boundary | End):
            turn = 0
            for one in held:
                one.append(message)
        else:
            held[int(pattern[turn % len(pattern)])].append(message)
            turn += 1
    return held


class Listener(Host):
    """A host in memory: remembers the events, and stops the loop where it is asked to.

    Args:
        stop_after: batches.
        save: called where a checkpoint may be due by the clock, and at a boundary.
    """

    def __init__(self, stop_after: int | None = None, save: Callable[[State], object] = id) -> None:
        self.events: list[events.Event] = []
        self.stop_after = stop_after
        self.save = save
        self.batches = 0
        self.checkpoints = 0
        self.published = 0
        self.broker: Broker | None = None
        self.faults: list[Fault] = []

    def emit(self, event: events.Event) -> None:
        self.events.append(event)
        self.batches += isinstance(event, events.BatchLearned)

    def set_aside(self, fault: Fault) -> None:
        self.faults.append(fault)

    def ends(self) -> list[int] | None:
        if self.broker is None:
            return None
        partitions = range(self.broker.partitions(STREAM))
        return [self.broker.watermarks(STREAM, partition).high for partition in partitions]

    def in_flight(self, batch: Batch) -> AbstractContextManager[None]:
        return nullcontext()

    def stopping(self) -> bool:
        return self.batches == self.stop_after

    def between_batches(self, state: State) -> None:
        self.save(state)

    def checkpoint(self, state: State) -> None:
        self.checkpoints += 1
        self.save(state)

    def publish(self, state: State) -> None:
        self.published += 1

    def heard(self, kind: type[events.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Wrapped(Reader):
    """Gives a reader's records, but not all at once; ``waiting`` those of each partition."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.waiting: dict[int, deque[Record]] = {n: deque() for n in range(reader.partitions)}

    @property
    def partitions(self) -> int:
        return self.reader.partitions

    def await_records(self, timeout_seconds: float, wanted: Collection[int] | None) -> list[int]:
        """The partitions of those wanted that have records waiting, after reading what there is."""
        numbers = range(self.partitions) if wanted is None else wanted
        empty = [number for number in numbers if not self.waiting[number]]
        found = len(empty) < len(numbers)
        for record in self.reader.poll(0 if found else timeout_seconds, empty) if empty else []:
            self.waiting[record.partition].append(record)
        return [number for number in numbers if self.waiting[number]]

    def next_offset(self, partition: int) -> int:
        waiting = self.waiting[partition]
        return waiting[0].offset if waiting else self.reader.next_offset(partition)

    def close(self) -> None:
        self.reader.close()


class OneByOne(Wrapped):
    """Gives one record a poll, so that the loop comes by after each; ``move`` may relocate it."""

    def __init__(self, reader: Reader, move: Callable[[Record], Record] = lambda r: r) -> None:
        super().__init__(reader)
        self.move = move

    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        here = self.await_records(timeout_seconds, partitions)
        return [self.move(self.waiting[number].popleft()) for number in here[:1]]


class Shuffled(Wrapped):
    """Records of several partitions in another order each time, a few or none a poll."""

    def __init__(self, reader: Reader, random: Random) -> None:
        super().__init__(reader)
        self.random = random

    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        here = self.await_records(timeout_seconds, partitions)
        given: list[Record] = []
        for number in self.random.sample(here, self.random.randint(0, len(here))):
            waiting = self.waiting[number]
            given += [waiting.popleft() for _ in range(self.random.randint(1, len(waiting)))]
        return given


def learn(
    broker: Broker,
    given: Settings,
    *,
    state: State | None = None,
    host: Listener | None = None,
    rewinder: Rewinder | None = None,
    until_end: bool = True,
    read: Callable[[Reader], Reader] = lambda reader: reader,
) -> tuple[State, Listener]:
    """Learn a stream to its end, or go on from a state."""
    state = state or State(given, broker.stream_id(STREAM))
    host = host or Listener()
    host.broker = broker
    if state.drift is not None and rewinder is None:
        rewinder = Rewinder(state, MemoryKeeper())
    again = True
    while again:
        offsets = {k: position.offset for k, position in state.ledger.position.items()}
        with read(broker.reader(STREAM, offsets)) as reader:
            again = learn_stream(reader, state, host, rewinder, until_end=until_end)
    return state, host


def learned(messages: Sequence[Message | Envelope], given: Settings) -> State:
    return learn(memory_broker(messages), given)[0]


def reloaded(state: State, store: CheckpointStore) -> State:
    """The state as another process would find it: written, read again, loaded."""
    return loaded(store, written(state, store), state.settings)


def written(state: State, store: CheckpointStore) -> Path:
    return store.write(Space().copy(state), store.claim_epoch(), written_seconds=0.0)[0]


def loaded(store: CheckpointStore, path: Path, given: Settings) -> State:
    manifest, tensors, holdouts = store.read(path)
    state = State(given, manifest.identity.stream_id)
    state.resume(manifest.ledger, manifest.measures, tensors)
    state.holdouts.sets = holdouts
    return state


def contents(state: State) -> dict[str, str]:
    """Everything that a state holds, by name, the large things as digests."""
    held = {name: digest(tensor) for name, tensor in state.tensors().items()}
    for task, pair in state.holdouts.sets.items():
        held |= {f"holdout/{task}/{n}": digest(tensor) for n, tensor in enumerate(pair)}
    held |= {f"ledger/{k}": str(v) for k, v in state.ledger.model_dump(mode="json").items()}
    held |= {f"measures/{k}": v.model_dump_json() for k, v in state.measures().items()}
    return held


def digest(tensor: Any) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()


def learned_contents(state: State) -> dict[str, str]:
    """`contents`, but for where they lay in the stream, and under which event ids."""
    where = ("ledger/position", "ledger/counted", "ledger/tasks")
    return {name: value for name, value in contents(state).items() if name not in where}
