"""The rewind: a boundary that was detected late leaves what one that was told in time leaves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from si_stream import events
from si_stream.boundaries.options import BoundaryOptions
from si_stream.checkpoints.store import CheckpointStore
from si_stream.messages.kinds import Boundary, End, Message, Role, Samples
from si_stream.rewinding import MemoryKeeper, Rewinder, spacing_samples
from si_stream.settings import Settings
from si_stream.state import State
from tests.streams import (
    DIGITS,
    STREAM,
    Listener,
    contents,
    digits,
    learn,
    loaded,
    memory_broker,
    settings,
)

LENGTHS = (2017, 1733, 2201)
PER_MESSAGE = 47


SPACING = spacing_samples(
    settings(model=DIGITS, detection={"kind": "adwin", "window_samples": 512})
)
BAD = range(5, sum(LENGTHS), 97)


@cache
def drawn() -> Samples:
    """Three worlds of two digits, whose labels are 0 and 1 in each; the third is the second with
    its labels exchanged. A few labels are bad."""
    random = np.random.default_rng(7)
    inputs, labels = [], []
    for world, length in enumerate(LENGTHS):
        task = digits().tasks[min(world, 1)]
        images, classes = task.train.take(random.integers(0, len(task.train), length))
        inputs.append(images)
        labels.append(1 - classes if world == 2 else classes)
    whole = Samples(np.concatenate(inputs), np.concatenate(labels))
    whole.labels[BAD] = 9
    return whole


def stream(told_at: Sequence[int] = (), worlds: int = 3) -> list[Message]:
    """Messages that know nothing of worlds, every tenth of them held out; boundaries are told
    where so many samples have been trained on."""
    whole, length = drawn(), sum(LENGTHS[:worlds])
    whole = Samples(whole.inputs[:length], whole.labels[:length])
    places = trained_places(whole)
    boundaries = {places[sample] for sample in told_at}
    edges = sorted({*range(0, len(whole), PER_MESSAGE), *boundaries, len(whole)})
    messages: list[Message] = []
    for begin, end in pairwise(edges):
        if begin in boundaries:
            messages.append(Boundary(f"at {begin}"))
        role: Role = "holdout" if is_held(begin) else "train"
        messages.append(Samples(whole.inputs[begin:end], whole.labels[begin:end], role=role))
    return [*messages, End("end")]


def is_held(row: int) -> bool:
    return row // PER_MESSAGE % 10 == 3


def trained_places(whole: Samples) -> list[int]:
    """Of each sample that is trained on, the row of the whole."""
    return [row for row in range(len(whole)) if row not in BAD and not is_held(row)]


def chosen(directory: Path = Path("nowhere"), **detection: Any) -> Settings:
    return settings(
        directory,
        model=DIGITS | {"network": {"hidden": (32, 32)}},
        optimiser={"learning_rate": 0.003},
        learner={"shadow": "none"},
        detection={"kind": "adwin", "window_samples": 512, **detection},
    )


def learned_from(state: State) -> dict[str, str]:
    """What does not say where in which stream it was learned, and how the boundaries came."""
    held = contents(state)
    for name in ("position", "counted", "tasks", "detections", "turn"):
        del held[f"ledger/{name}"]
    held["tasks"] = str([task.name for task in state.ledger.tasks.known])
    return held


@cache
def silent() -> tuple[State, Listener]:
    return learn(memory_broker(stream()), chosen())


def cuts(heard: Listener) -> list[int]:
    return [alarm.cut for alarm in heard.heard(events.Alarmed) if alarm.decision == "taken"]


def test_worlds_that_nobody_announces_are_found_where_they_begin() -> None:
    state, heard = silent()
    whole = drawn()
    found = [trained_places(whole)[cut] for cut in cuts(heard)]
    assert len(found) == 2
    assert np.abs(np.array(found) - np.cumsum(LENGTHS)[:2]).max() < 16
    assert [task.name for task in state.ledger.tasks.known] == ["task-1", "task-2", "task-3"]


def test_the_state_is_that_of_a_learner_that_was_told_at_the_cuts() -> None:
    state, heard = silent()
    told, quiet = learn(memory_broker(stream(told_at=cuts(heard))), chosen())
    assert len(quiet.heard(events.Rewound)) == 0
    assert len(heard.heard(events.Rewound)) == 2
    assert learned_from(state) == learned_from(told)


def test_what_is_read_again_is_not_told_again() -> None:
    _, heard = silent()
    rejected = [event.row for event in heard.heard(events.Rejected)]
    assert len(rejected) == len(BAD)
    received = sum(event.samples for event in heard.heard(events.Received))
    assert received == len(drawn()) - len(BAD)


@pytest.mark.parametrize("number", [0, 1])
def test_a_learner_that_dies_between_the_change_and_the_alarm_ends_up_the_same(
    number: int, tmp_path: Path
) -> None:
    broker, given, store = memory_broker(stream()), chosen(), CheckpointStore(tmp_path)
    whole, heard = silent()
    alarms = [alarm for alarm in heard.heard(events.Alarmed) if alarm.decision == "taken"]
    state = State(given, broker.stream_id(STREAM))
    rewinder, host = Rewinder(state, MemoryKeeper()), Listener()
    change = alarms[number].cut
    host.stopping = lambda: state.ledger.samples >= change  # type: ignore[method-assign]
    learn(broker, given, state=state, host=host, rewinder=rewinder)
    assert change <= state.ledger.samples <= alarms[number].sample
    path, _ = store.write(rewinder.older, store.claim_epoch(), 0.0)
    resumed, again = learn(broker, given, state=loaded(store, path, given))
    assert contents(resumed) == contents(whole)
    samples = [alarm.sample for alarm in again.heard(events.Alarmed)]
    assert samples == [alarm.sample for alarm in alarms[number:]]


def test_an_alarm_soon_after_a_boundary_is_recorded_and_not_taken() -> None:
    state, heard = learn(memory_broker(stream()), chosen(min_task_samples=100_000))
    assert {alarm.decision for alarm in heard.heard(events.Alarmed)} == {"short-task"}
    assert state.ledger.consolidations == 1


def test_beyond_the_cap_alarms_are_recorded_and_not_taken() -> None:
    state, heard = learn(memory_broker(stream()), chosen(max_boundaries=1))
    assert [alarm.decision for alarm in heard.heard(events.Alarmed)][:2] == ["taken", "cap"]
    assert state.ledger.consolidations == 2


def straight(change: int, told_at: int | None = None) -> list[Message]:
    """Two worlds, the second from a sample on."""
    random, parts = np.random.default_rng(7), []
    for task, length in zip(digits().tasks, (change, 1600), strict=False):
        parts.append(task.train.take(random.integers(0, len(task.train), length)))
    inputs, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    edges = sorted({*range(0, len(labels), PER_MESSAGE), told_at or 0, len(labels)})
    messages: list[Message] = []
    for begin, end in pairwise(edges):
        if begin == told_at:
            messages.append(Boundary("told"))
        messages.append(Samples(inputs[begin:end], labels[begin:end]))
    return [*messages, End("end")]


@pytest.mark.parametrize("change", [1000, SPACING, 1100])
def test_told_behind_one_that_was_detected_where_a_copy_was_made_it_is_the_told_one(
    change: int,
) -> None:
    broker = memory_broker(straight(change, told_at=change + 100))
    state, heard = learn(broker, chosen())
    assert len(heard.heard(events.Rewound)) == 2
    told, quiet = learn(broker, chosen(min_evidence_nats=1e9))
    assert len(quiet.heard(events.Rewound)) == 0
    assert learned_from(state) == learned_from(told)
    assert state.ledger.consolidations == 2


def test_an_alarm_whose_cut_is_older_than_all_copies_is_not_taken(tmp_path: Path) -> None:
    """There was no room for its task, so the copies went on; then there is."""
    broker, store = memory_broker(straight(SPACING - 4)), CheckpointStore(tmp_path)
    full = chosen().model_copy(update={"boundaries": BoundaryOptions(max_tasks=1)})
    state = State(full, broker.stream_id(STREAM))
    rewinder, host = Rewinder(state, MemoryKeeper()), Listener()
    host.stopping = lambda: rewinder.older.ledger.samples >= SPACING  # type: ignore[method-assign]
    learn(broker, full, state=state, host=host, rewinder=rewinder)
    (refused,) = host.heard(events.Alarmed)
    assert refused.decision == "max-tasks"
    assert refused.cut < SPACING < refused.sample
    path, _ = store.write(rewinder.older, store.claim_epoch(), 0.0)
    resumed, heard = learn(broker, chosen(), state=loaded(store, path, chosen()))
    again = heard.heard(events.Alarmed)[0]
    assert (again.sample, again.decision) == (refused.sample, "too-old")
    assert resumed.ledger.samples == SPACING - 4 + 1600


def test_boundaries_that_are_told_in_time_silence_the_detector() -> None:
    whole = drawn()
    places = trained_places(whole)
    true = [next(n for n, row in enumerate(places) if row >= at) for at in np.cumsum(LENGTHS)[:2]]
    state, heard = learn(memory_broker(stream(told_at=true)), chosen())
    assert heard.heard(events.Alarmed) == []
    assert state.ledger.consolidations == 3
