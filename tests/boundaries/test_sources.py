"""What every source of boundaries promises: wherever it comes from, a boundary is a place in the
stream, and the state behind it is that of the same place told by a message.

A new source is covered by an entry in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from services.boundary_requests import BoundaryRequests
from si_stream import events
from si_stream.brokers.memory import MemoryBroker
from si_stream.checkpoints.copies import Space, StateCopy
from si_stream.checkpoints.store import CheckpointStore
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.rewinding import MemoryKeeper, Rewinder
from si_stream.settings import Settings
from si_stream.state import State
from tests.streams import (
    DIGITS,
    STREAM,
    Listener,
    contents,
    digest,
    digits,
    enveloped,
    learn,
    loaded,
    memory_broker,
    settings,
)

LENGTHS = (1301, 700)  # of two worlds of two digits, whose labels are 0 and 1 in both
PER_MESSAGE = 47
TOKEN = "open sesame"
ID = "mark"
DETECTION = {"kind": "adwin", "window_samples": 512}

Say = Callable[[MemoryBroker, str], None]


def send(*messages: Message) -> Say:
    return lambda broker, _: append(broker, *messages)


def append(broker: MemoryBroker, *messages: Message) -> None:
    broker.append(STREAM, 0, enveloped(messages))


def ask_for_one(broker: MemoryBroker, event_id: str) -> None:
    """As an operator does: POST /boundaries."""
    asked = BoundaryRequests(settings(), broker)
    assert asked.send(orjson.dumps({"event_id": event_id})).event_id == event_id


def nothing(broker: MemoryBroker, event_id: str) -> None:
    """What the source goes by is not in the stream between the samples."""


class Source(NamedTuple):
    """How a boundary is put into a stream, under an event id if it has one, and what else makes
    one of it: settings, given its place, and the names of the tasks on their samples."""

    say: Say = nothing
    has_event_id: bool = False
    settings: Callable[[int], dict[str, Any]] = lambda _: {}
    names: tuple[str | None, str | None] = (None, None)


SOURCES = {
    "message": Source(lambda broker, one: append(broker, Boundary(one)), has_event_id=True),
    "end": Source(lambda broker, one: append(broker, End(one)), has_event_id=True),
    "operator": Source(ask_for_one, has_event_id=True),
    "task name": Source(
        settings=lambda _: {"boundaries": {"mode": "task-name"}}, names=("one", "two")
    ),
    "every so many samples": Source(settings=lambda at: {"boundaries": {"every_samples": at}}),
    "detected": Source(settings=lambda _: {"detection": DETECTION}),
}
every_source = pytest.mark.parametrize("source", SOURCES)
every_message = pytest.mark.parametrize(
    "source", [name for name, source in SOURCES.items() if source.has_event_id]
)
every_told = pytest.mark.parametrize("source", ["message", "end", "operator", "task name"])


@cache
def drawn() -> Samples:
    random = np.random.default_rng(7)
    inputs, labels = [], []
    for task, length in zip(digits().tasks, LENGTHS, strict=False):
        images, classes = task.train.take(random.integers(0, len(task.train), length))
        inputs.append(images)
        labels.append(classes)
    return Samples(np.concatenate(inputs), np.concatenate(labels))


def part(begin: int, end: int, name: str | None = None) -> list[Message]:
    """Those of the samples, in messages that know nothing of worlds, but for the task's name."""
    whole = drawn()
    return [
        Samples(whole.inputs[at : min(at + PER_MESSAGE, end)], labels, task=name)
        for at in range(begin, end, PER_MESSAGE)
        for labels in [whole.labels[at : min(at + PER_MESSAGE, end)]]
    ]


def chosen(**groups: Any) -> Settings:
    """The learning rate is one with which errors become rare enough for a change to be seen."""
    return settings(
        model=DIGITS | {"network": {"hidden": (32, 32)}},
        optimiser={"learning_rate": 0.003},
        learner={"shadow": "none"},
        plasticity={"first_samples": 500},
        **groups,
    )


def settings_of(source: str, at: int) -> Settings:
    return chosen(**SOURCES[source].settings(at))


@cache
def alarm() -> events.Alarmed:
    """Of a detector that nobody tells anything: the place of its cut is that of all sources."""
    broker = memory_broker([*part(0, len(drawn())), End("end")])
    taken = [
        one
        for one in learn(broker, chosen(detection=DETECTION))[1].heard(events.Alarmed)
        if one.decision == "taken"
    ]
    [found] = taken
    assert isinstance(found, events.Alarmed)
    return found


def place() -> int:
    return alarm().cut


def stream(source: str, at: int, *, before: Sequence[Say] = (), behind: int = 0) -> MemoryBroker:
    """The samples with the source's boundary before the at-th; ``before`` is what else is said
    there, and it is said again ``behind`` so many samples, and once at once, under the same id."""
    this, broker = SOURCES[source], memory_broker([])
    append(broker, *part(0, at, this.names[0]))
    for say in before:
        say(broker, "before")
    this.say(broker, ID)
    if behind:
        this.say(broker, ID)
        append(broker, *part(at, at + behind, this.names[1]))
        this.say(broker, ID)
    append(broker, *part(at + behind, len(drawn()), this.names[1]), End("end"))
    return broker


class Moment(NamedTuple):
    """A boundary as it leaves a state: samples learned, names of the known and the active task, and
    all that learners hold."""

    samples: int
    known: int
    active: str | None
    tensors: dict[str, str]


class Watching(Listener):
    """Remembers how each boundary left the state; and, of each moment in which a process may end,
    what it would resume from."""

    def __init__(self, state: State, rewinder: Rewinder | None) -> None:
        super().__init__()
        self.rewinder = rewinder
        self.at_boundaries: list[Moment] = []
        self.copies: list[tuple[int, int, StateCopy]] = []
        self.near = place()

    def checkpoint(self, state: State) -> None:
        active = state.ledger.tasks.active
        known = len(state.ledger.tasks.known)
        figures = (state.ledger.samples, known, active.name if active else None)
        self.at_boundaries.append(Moment(*figures, learners(state)))
        super().checkpoint(state)
        self.between_batches(state)

    def between_batches(self, state: State) -> None:
        ledger = state.ledger
        if abs(ledger.samples - self.near) < 2 * state.settings.model.batch_size:
            copy = self.rewinder.older if self.rewinder else Space().copy(state)
            self.copies.append((ledger.samples, ledger.consolidations, copy))


def learners(state: State) -> dict[str, str]:
    """All that they hold: weights, moments, ω, Ω and θ̃ of trunk and heads."""
    return {k: digest(v) for k, v in state.tensors().items() if not k.startswith("drift/")}


def learned_to_its_end(
    broker: MemoryBroker, given: Settings, state: State | None = None
) -> tuple[State, Watching]:
    """An end may come in the middle, from where it goes on."""
    state = state or State(given, broker.stream_id(STREAM))
    rewinder = Rewinder(state, MemoryKeeper()) if state.drift is not None else None
    host = Watching(state, rewinder)
    while not state.ledger.tasks.has_seen("end"):
        learn(broker, given, state=state, host=host, rewinder=rewinder)
    return state, host


@cache
def by(source: str) -> tuple[State, Watching]:
    return learned_to_its_end(stream(source, place()), settings_of(source, place()))


def told(at: int, given: Settings, names: tuple[str | None, str | None]) -> State:
    """By a message, and with the same names on the samples."""
    broker = memory_broker(
        [
            *part(0, at, names[0]),
            Boundary(ID),
            *part(at, len(drawn()), names[1]),
            End("end"),
        ]
    )
    return learned_to_its_end(broker, given)[0]


def learned_from(state: State) -> dict[str, str]:
    """All but where it lay in the stream, and how the boundary came."""
    held = contents(state)
    for name in ("position", "counted", "tasks", "detections"):
        del held[f"ledger/{name}"]
    return held | {"tasks": str(state.ledger.tasks.known)}


@every_source
def test_it_ends_the_task_at_one_place_between_two_samples_and_there_the_next_opens(
    source: str,
) -> None:
    state, host = by(source)
    whole, names = len(drawn()), [task.name for task in state.ledger.tasks.known]
    assert names == [name or f"task-{n + 1}" for n, name in enumerate(SOURCES[source].names)]
    assert [moment[:3] for moment in host.at_boundaries] == [(place(), 1, None), (whole, 2, None)]
    opened = host.heard(events.TaskOpened)[-1]
    assert (opened.task, opened.known, opened.samples) == (names[1], 2, place())
    for measures in state.measures().values():
        tested = measures.prequential.tasks
        assert [tested[name].samples for name in names] == [place(), whole - place()]
    has_event_id = SOURCES[source].has_event_id
    assert state.ledger.tasks.event_ids == [*[ID] * has_event_id, "end"]


@every_source
def test_it_consolidates_exactly_the_samples_before(source: str) -> None:
    broker = memory_broker([*part(0, place(), SOURCES[source].names[0]), End("end")])
    alone, _ = learned_to_its_end(broker, settings_of(source, place()))
    assert by(source)[1].at_boundaries[0].tensors == learners(alone)


@every_source
def test_it_leaves_the_state_of_the_same_place_told_by_a_message(source: str) -> None:
    given = settings_of(source, place())
    expected = told(place(), given, SOURCES[source].names)
    assert learned_from(by(source)[0]) == learned_from(expected)


def test_another_place_leaves_another_state() -> None:
    """So the comparison says something."""
    names = SOURCES["message"].names
    assert learned_from(by("message")[0]) != learned_from(told(place() + 1, chosen(), names))


@every_message
def test_the_same_event_id_again_does_nothing(source: str) -> None:
    given = settings_of(source, place())
    state, _ = learned_to_its_end(stream(source, place(), behind=60), given)
    assert learned_from(state) == learned_from(by(source)[0])
    assert state.ledger.tasks.event_ids == [ID, "end"]


@every_source
def test_with_no_sample_since_the_last_boundary_it_is_recorded_and_does_nothing_else(
    source: str,
) -> None:
    given = settings_of(source, place())
    before: list[Say] = [lambda broker, one: append(broker, Boundary(one))]
    state, host = learned_to_its_end(stream(source, place(), before=before), given)
    expected = told(place(), given, SOURCES[source].names)
    assert learned_from(state) == learned_from(expected)
    has_event_id = SOURCES[source].has_event_id
    assert state.ledger.tasks.event_ids == ["before", *[ID] * has_event_id, "end"]
    assert state.ledger.consolidations == 2
    assert len({moment.samples for moment in host.at_boundaries}) == 2


@every_source
def test_a_resume_right_before_and_right_after_it_leads_to_the_same_state(
    source: str, tmp_path: Path
) -> None:
    whole, host = by(source)
    store = CheckpointStore(tmp_path)
    moments = {count: samples for samples, count, _ in host.copies}
    assert moments.keys() == {0, 1}
    copies = {id(copy): copy for _, _, copy in host.copies}
    assert len(copies) > 1
    for copy in copies.values():
        path, _ = store.write(copy, store.claim_epoch(), 0.0)
        resumed, _ = learned_to_its_end(
            stream(source, place()), whole.settings, loaded(store, path, whole.settings)
        )
        assert contents(resumed) == contents(whole)


@pytest.mark.parametrize("late", [0, 1, 37, 200])
@every_told
def test_told_just_after_it_was_detected_it_is_the_same_one_at_the_told_place(
    source: str, late: int
) -> None:
    at = alarm().sample + 1 + late
    groups = SOURCES[source].settings(at)
    state, host = learned_to_its_end(stream(source, at), chosen(**groups, detection=DETECTION))
    assert [event.decision for event in host.heard(events.Alarmed)][:2] == ["taken", "told"]
    deaf = chosen(**groups, detection=DETECTION | {"min_task_samples": 1_000_000})
    expected, _ = learned_to_its_end(stream(source, at), deaf)
    assert learned_from(state) == learned_from(expected)
    assert host.at_boundaries[-2].samples == at
    assert state.ledger.consolidations == 2
