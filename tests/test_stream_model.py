"""The loop against a simple model: plain Python that says what each stream must lead to.

The model knows `docs/wire-format.md` and shares no code with what it is compared with. Streams are
drawn with messages of every kind, good and bad; the learner dies where it is told to, with letters
of its dead letters written or not, and goes on from a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from si_stream.batches import Batch
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Broker, Envelope
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import DeadLetters, Fault, read_letters
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.state import State
from si_stream.tracks import MAIN, Track
from tests.streams import (
    STREAM,
    Listener,
    OneByOne,
    contents,
    learn,
    memory_broker,
    reloaded,
    settings,
)
from tests.streams import samples as numbered

BATCH_SIZE = 8
CAPACITY = 20
MAX_TASKS = 3
MAX_BYTES = 8192
WHOLE_MESSAGE = ["undecodable", "wrong_shape", "wrong_dtype", "too_large"]


class Item(NamedTuple):
    """A message as it is drawn: samples, or what is wrong with it, or an event id once again."""

    fault: str | None = None
    repeats: str | None = None
    first: int = 0
    rows: int = 0
    bad: frozenset[int] = frozenset()
    task: str | None = None
    role: Any = "train"


class Mark(NamedTuple):
    """What parts the tasks, in every partition: the event id that it has in each."""

    ends_stream: bool
    event_ids: tuple[str, ...]
    next_task: str | None = None


class Stream(NamedTuple):
    """Of each segment the messages of each partition, and the mark that closes it."""

    segments: list[tuple[list[list[Item]], Mark]]
    by_name: bool
    dtype: Any

    def partitions(self) -> Iterator[list[Item | Mark]]:
        for number in range(len(self.segments[0][0])):
            held: list[Item | Mark] = []
            for columns, mark in self.segments:
                held += [*columns[number], mark]
            yield held

    def offset(self, wanted: int, partition: int, place: int) -> int:
        """Of a message: where it stands in its segment, given how long those before it are."""
        return place + sum(len(columns[partition]) + 1 for columns, _ in self.segments[:wanted])


Deed = tuple[str, str, list[int]]
"""What was done (trained, consolidated), with which task, on the samples of which numbers."""


class Outcome(NamedTuple):
    """What was done, in order; which rows are kept as holdouts; and the dead letters, in order."""

    done: list[Deed]
    held: dict[str, list[int]]
    letters: list[tuple[int, int, int | None, str]]


class Model:
    """What must come of a stream, told by the rules of the wire format."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.outcome = Outcome([], {}, [])
        self.known: list[str] = []
        self.active: str | None = None
        self.announced: str | None = None
        self.waiting: list[int] = []
        for segment, (columns, mark) in enumerate(stream.segments):
            # An event id that has acted takes no turn, whatever partition it is repeated in.
            in_turn = [
                [(number, item) for number, item in enumerate(column) if item.repeats is None]
                for column in columns
            ]
            for row in zip_longest(*in_turn):
                for partition, taken in enumerate(row):
                    if taken is not None:
                        place = (partition, stream.offset(segment, partition, taken[0]))
                        self.take(taken[1], place)
            self.end_task()
            self.announced = mark.next_task
        assert not self.waiting

    def take(self, item: Item, place: tuple[int, int]) -> None:
        fault = item.fault or self.fault_of_task(item)
        if fault is not None:
            self.outcome.letters.append((*place, None, fault))
            return
        row_fault = "label_out_of_range" if self.stream.dtype == "uint8" else "not_finite"
        self.outcome.letters.extend((*place, row, row_fault) for row in sorted(item.bad))
        good = [item.first + row for row in range(item.rows) if row not in item.bad]
        name = self.name_of(item)
        if item.role == "holdout" and good:
            kept = self.outcome.held.setdefault(name, [])
            kept += good[: CAPACITY - len(kept)]
        elif good:
            if name != self.active:
                self.end_task()
                self.active = name
                if name not in self.known:
                    self.known.append(name)
            for number in good:
                self.waiting.append(number)
                if len(self.waiting) == BATCH_SIZE:
                    self.train()

    def name_of(self, item: Item) -> str:
        return item.task or self.active or self.announced or f"task-{len(self.known) + 1}"

    def fault_of_task(self, item: Item) -> str | None:
        name, any_good = self.name_of(item), len(item.bad) < item.rows
        if item.role == "holdout":
            new = any_good and name not in self.known and name not in self.outcome.held
            return "too_many_tasks" if new and len(self.outcome.held) >= MAX_TASKS else None
        if self.active not in (None, name) and not self.stream.by_name:
            return "wrong_task"
        full = name not in self.known and len(self.known) >= MAX_TASKS
        return "too_many_tasks" if full else None

    def train(self) -> None:
        assert self.active is not None
        self.outcome.done.append(("trained", self.active, self.waiting))
        self.waiting = []

    def end_task(self) -> None:
        if self.active is not None:
            if self.waiting:
                self.train()
            self.outcome.done.append(("consolidated", self.active, []))
        self.active = self.announced = None


def an_item(draw: st.DrawFn, drawn: list[Item], acted: list[str]) -> Item:
    """A message: often of good samples, at times one that was drawn before."""
    kind = draw(
        st.sampled_from(["good"] * 4 + ["bad rows"] * 3 + ["fault", "twice", "repeated id"])
    )
    if kind == "repeated id" and acted:
        return Item(repeats=acted[draw(st.integers(0, len(acted) - 1))])
    if kind == "fault":
        return Item(fault=draw(st.sampled_from(WHOLE_MESSAGE)))
    if kind == "twice" and drawn:
        return drawn[draw(st.integers(0, len(drawn) - 1))]
    count = draw(st.integers(1, 2 * BATCH_SIZE + 3))
    rows = st.frozensets(st.integers(0, count - 1), min_size=1)
    bad = draw(rows) if kind == "bad rows" else frozenset()
    task = draw(st.sampled_from([None] * 6 + [*"abcde"]))
    role = draw(st.sampled_from(["train", "train", "train", "holdout"]))
    first = sum(item.rows for item in drawn)
    drawn.append(Item(first=first, rows=count, bad=bad, task=task, role=role))
    return drawn[-1]


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    width, length = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    drawn: list[Item] = []
    acted: list[str] = []
    segments = []
    for number in range(length):
        columns = [
            [an_item(draw, drawn, acted) for _ in range(draw(st.sampled_from([0, 2, 4, 6])))]
            for _ in range(width)
        ]
        # Two senders at once: the partitions have their k-th boundaries under other ids. Not the
        # first: a partition that begins with a boundary of its own would wait for the next.
        senders = draw(st.booleans()) and number > 0
        ids = tuple(f"{number}/{p if senders else 0}" for p in range(width))
        is_last = number == length - 1
        next_task = None if is_last else draw(st.none() | st.sampled_from("abcde"))
        ends = is_last or (next_task is None and draw(st.integers(0, 3)) == 0)
        segments.append((columns, Mark(ends, ids, next_task)))
        acted += ids
    return Stream(segments, draw(st.booleans()), draw(st.sampled_from(["uint8", "float32"])))


def sent(item: Item | Mark, partition: int, dtype: str) -> Message | Envelope:
    if isinstance(item, Mark):
        event_id = item.event_ids[partition]
        return End(event_id) if item.ends_stream else Boundary(event_id, item.next_task)
    if item.repeats is not None:
        return Boundary(item.repeats, "e")
    if item.fault == "undecodable":
        return Envelope({}, b"{")
    if item.fault == "too_large":
        return Envelope({}, b" " * (MAX_BYTES + 1))
    shape = (5,) if item.fault == "wrong_shape" else (4,)
    one = numbered(item.rows or 2, item.first, shape=shape, task=item.task, role=item.role)
    if (dtype == "float32") != (item.fault == "wrong_dtype"):
        inputs = one.inputs.astype(np.float32)
        inputs[list(item.bad), -1] = np.nan
        return Samples(inputs, one.labels, one.task, one.role)
    one.labels[list(item.bad)] = -1
    return one


class Crash(NamedTuple):
    """It comes so many looks between batches after a checkpoint, which comes so many after the
    start; what was done between the two is lost."""

    checkpoint_after: int
    later: int
    letters_written: bool


crashes = st.lists(
    st.builds(Crash, st.integers(0, 20), st.integers(0, 6), st.booleans()), min_size=1, max_size=3
)


def numbers_of(inputs: Tensor) -> list[int]:
    """Of the samples, as `tests.streams.samples` gives them."""
    numbers: list[int] = (inputs[:, 0].long() + 256 * inputs[:, 1].long()).tolist()
    return numbers


class WatchedTrack(Track):
    """Remembers what it is told to do."""

    def __init__(self, track: Track, done: list[Deed]) -> None:
        super().__init__(MAIN, track.learner)
        self.measures = track.measures
        self.done = done

    def learn(self, batch: Batch) -> bool:
        numbers = numbers_of(batch.inputs)
        assert batch.labels.tolist() == [number % 3 for number in numbers]
        self.done.append(("trained", batch.task.name, numbers))
        return super().learn(batch)

    def consolidate(self, task: Task) -> None:
        self.done.append(("consolidated", task.name, []))
        super().consolidate(task)


class MortalHost(Listener):
    """Writes letters, takes a checkpoint where the crash wants it, and stops where that happens."""

    def __init__(
        self, broker: Broker, state: State, store: CheckpointStore, crash: Crash | None
    ) -> None:
        super().__init__()
        self.looks = 0
        self.letters = DeadLetters(broker, STREAM, MAX_BYTES)
        self.letters.resume(state.ledger.dead_letters, state.ledger.counted)
        self.store = store
        self.crash = crash
        self.done: list[Deed] = []
        self.saved = (reloaded(state, store) if crash else state), 0
        state.tracks[0] = WatchedTrack(state.main, self.done)

    def set_aside(self, fault: Fault) -> None:
        self.letters.add(fault, time_seconds=0.0)

    def between_batches(self, state: State) -> None:
        self.looks += 1
        if self.crash and self.looks == self.crash.checkpoint_after:
            state.ledger.dead_letters = self.letters.flush(self.letters.seal())
            self.saved = reloaded(state, self.store), len(self.done)

    def stopping(self) -> bool:
        crash = self.crash
        return crash is not None and self.looks >= crash.checkpoint_after + crash.later


def learned(
    stream: Stream, directory: Path, deaths: Sequence[Crash] = ()
) -> tuple[Outcome, dict[str, str]]:
    """What a learner that dies so often makes of the stream; and all that its state holds."""
    store = CheckpointStore(Path(mkdtemp(dir=directory)))
    columns = enumerate(stream.partitions())
    broker = memory_broker(*([sent(one, n, stream.dtype) for one in held] for n, held in columns))
    chosen = settings(
        model={"dtype": stream.dtype, "batch_size": BATCH_SIZE},
        stream={"max_message_bytes": MAX_BYTES},
        boundaries={
            "mode": "task-name" if stream.by_name else "announced",
            "max_tasks": MAX_TASKS,
        },
        holdout={"capacity": CAPACITY},
    )
    state = State(chosen, broker.stream_id(STREAM))
    last = stream.segments[-1][1].event_ids[0]
    done: list[Deed] = []
    for crash in [*deaths, None]:
        host = MortalHost(broker, state, store, crash)
        while not host.stopping() and not state.ledger.tasks.has_seen(last):  # of several ends
            learn(broker, chosen, state=state, host=host, read=OneByOne)
        if crash is not None and host.stopping():
            if crash.letters_written:
                host.letters.flush(host.letters.seal())
            state, count = host.saved
            done += host.done[:count]
        else:
            done += host.done
            state.ledger.dead_letters = host.letters.flush(host.letters.seal())
            break
    letters = [letter for _, letter in read_letters(broker, STREAM)]
    places = [(one.partition, one.offset, one.row, one.reason) for one in letters]
    held = {name: numbers_of(inputs) for name, (inputs, _) in state.holdouts.sets.items()}
    return Outcome(done, held, places), contents(state)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@hypothesis_settings(deadline=None, derandomize=True, max_examples=100)
@given(stream=streams(), deaths=crashes)
def test_a_stream_leads_to_what_the_model_says_however_often_the_learner_dies(
    directory: Path, stream: Stream, deaths: list[Crash]
) -> None:
    expected = Model(stream).outcome
    at_once, its_contents = learned(stream, directory)
    assert at_once == expected
    assert learned(stream, directory, deaths) == (expected, its_contents)
