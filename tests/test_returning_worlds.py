"""A world that comes back takes up its task again, as if it had been named."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from si_stream import events
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
    digits,
    learn,
    loaded,
    memory_broker,
    settings,
)

VISITS = "ABABAC"
LENGTHS = (1217, 1033, 901, 1100, 999, 800)
RETURNED = ["task-1", "task-2", "task-1", None]
PER_MESSAGE = 53
NAMED = {"A": "task-1", "B": "task-2", "C": "task-3"}


@cache
def drawn() -> Samples:
    random = np.random.default_rng(11)
    inputs, labels = [], []
    for letter, length in zip(VISITS, LENGTHS, strict=True):
        train = digits().tasks["ABC".index(letter)].train
        images, own = train.take(random.integers(0, len(train), length))
        inputs.append(images)
        labels.append(own)
    return Samples(np.concatenate(inputs), np.concatenate(labels))


def stream(told_at: Mapping[int, str | None] | None = None) -> list[Message]:
    """Messages that know nothing of worlds; where boundaries are told, the next task is named or
    not."""
    whole, told = drawn(), told_at or {}
    edges = sorted({*range(0, len(whole), PER_MESSAGE), *told, len(whole)})
    messages: list[Message] = []
    for begin, end in pairwise(edges):
        if begin in told:
            messages.append(Boundary(f"at {begin}", told[begin]))
        messages.append(Samples(whole.inputs[begin:end], whole.labels[begin:end]))
    return [*messages, End("end")]


def chosen(**detection: Any) -> Settings:
    return settings(
        Path("nowhere"),
        model=DIGITS | {"network": {"hidden": (32, 32)}},
        optimiser={"learning_rate": 0.003},
        learner={"shadow": "none"},
        detection={"kind": "adwin", "window_samples": 512, **detection},
    )


@cache
def silent() -> tuple[State, Listener]:
    return learn(memory_broker(stream()), chosen())


def visited(heard: Listener) -> list[str]:
    """The task of each batch, once for each that follow each other."""
    names = [(e.step, e.task) for e in heard.heard(events.BatchLearned)]
    last = dict(names)  # what was learned before a rewind is overwritten
    tasks = [last[step] for step in sorted(last)]
    return [task for n, task in enumerate(tasks) if n == 0 or tasks[n - 1] != task]


def learned(state: State) -> dict[str, str]:
    """What does not say where in which stream it was learned, and how the boundaries came."""
    held = contents(state)
    for name in ("position", "counted", "tasks", "detections", "turn"):
        del held[f"ledger/{name}"]
    held["tasks"] = str([task.name for task in state.ledger.tasks.known])
    return held


def test_each_visit_takes_up_its_worlds_task_and_a_new_world_opens_one() -> None:
    state, heard = silent()
    assert visited(heard) == [NAMED[letter] for letter in VISITS]
    compared = heard.heard(events.WorldCompared)
    assert [event.returned for event in compared] == RETURNED
    assert all(
        (event.distance <= event.limit) == (event.returned is not None) for event in compared
    )
    assert len(state.main.learner.heads) == 3


def test_the_state_is_that_of_a_learner_that_was_told_the_boundaries_and_the_names() -> None:
    state, heard = silent()
    cuts = [alarm.cut for alarm in heard.heard(events.Alarmed) if alarm.decision == "taken"]
    assert len(cuts) == len(VISITS) - 1
    names = [NAMED[letter] for letter in VISITS[1:]]
    told, quiet = learn(memory_broker(stream(dict(zip(cuts, names, strict=True)))), chosen())
    assert quiet.heard(events.WorldCompared) == []
    assert learned(state) == learned(told)


def test_a_boundary_that_is_told_without_a_name_is_followed_by_a_comparison_too() -> None:
    places: dict[int, str | None] = dict.fromkeys(np.cumsum(LENGTHS)[:-1].tolist())
    state, heard = learn(memory_broker(stream(places)), chosen())
    assert [one.returned for one in heard.heard(events.WorldCompared)] == RETURNED
    named = dict(zip(places, (NAMED[letter] for letter in VISITS[1:]), strict=True))
    told, _ = learn(memory_broker(stream(named)), chosen())
    assert learned(state) == learned(told)


@pytest.mark.parametrize("batch_size", [256, 1000, 1024, 1100])
def test_a_batch_may_be_as_large_as_what_a_portrait_is_drawn_of(batch_size: int) -> None:
    given = chosen()
    model = given.model.model_copy(update={"batch_size": batch_size})
    places: dict[int, str | None] = dict.fromkeys(np.cumsum(LENGTHS)[:-1].tolist())
    _, heard = learn(memory_broker(stream(places)), given.model_copy(update={"model": model}))
    assert [one.returned for one in heard.heard(events.WorldCompared)] == RETURNED


def test_a_learner_that_does_not_look_opens_a_head_for_each_visit() -> None:
    state, heard = learn(memory_broker(stream()), chosen(returning=False))
    assert heard.heard(events.WorldCompared) == []
    assert len(state.main.learner.heads) == len(VISITS)


def test_the_task_that_has_just_ended_is_not_taken_up_again() -> None:
    places: dict[int, str | None] = {400: None}
    _, heard = learn(memory_broker(stream(places)), chosen())
    assert visited(heard)[:3] == ["task-1", "task-2", "task-3"]


@pytest.mark.parametrize("batches_behind", [1, 8, 15, 16, 17, 25])
def test_a_learner_that_dies_before_or_behind_the_comparison_ends_up_the_same(
    batches_behind: int, tmp_path: Path
) -> None:
    broker, given, store = memory_broker(stream()), chosen(), CheckpointStore(tmp_path)
    whole, heard = silent()
    first = heard.heard(events.WorldCompared)[0].sample
    state = State(given, broker.stream_id(STREAM))
    rewinder, host = Rewinder(state, MemoryKeeper()), Listener()
    stop_at = first + 16 * batches_behind

    def is_there() -> bool:
        return state.ledger.samples >= stop_at and len(state.ledger.detections) == 2

    host.stopping = is_there  # type: ignore[method-assign]
    learn(broker, given, state=state, host=host, rewinder=rewinder)
    path, _ = store.write(rewinder.older, store.claim_epoch(), 0.0)
    resumed, _ = learn(broker, given, state=loaded(store, path, given))
    assert contents(resumed) == contents(whole)


def test_where_no_more_tasks_may_begin_an_alarm_is_recorded_and_not_taken() -> None:
    given = chosen().model_copy(
        update={"boundaries": chosen().boundaries.model_copy(update={"max_tasks": 2})}
    )
    state, heard = learn(memory_broker(stream()), given)
    assert {alarm.decision for alarm in heard.heard(events.Alarmed)} == {"taken", "max-tasks"}
    assert len(state.ledger.tasks.known) == 2
    assert state.ledger.rejected == {}
