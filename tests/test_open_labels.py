"""Labels unseen before, through the loop: told once, rejected beyond the limit, and served."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry, generate_latest

from services.learner_host import LearnerHost
from si_stream import events
from si_stream.brokers.interface import Envelope
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import Reason
from si_stream.learning.networks import OpenHead
from si_stream.loop import learn_stream
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.settings import Settings
from si_stream.state import Quarantined, State
from simulators.labels import globally_labelled
from simulators.options import ReplayOptions
from simulators.replay import envelopes
from tests.services.predictor.serving import ROWS, serving
from tests.streams import (
    DIGITS,
    STREAM,
    Listener,
    contents,
    digits,
    learn,
    memory_broker,
    reloaded,
    samples,
    settings,
)
from tests.test_loop import Noting

OPEN: dict[str, Any] = {"labels": "open", "outputs": 0, "heads": "shared"}
TASKS = ("digits-0-1", "digits-2-3", "digits-4-5")


def chosen(directory: Path = Path("nowhere"), **groups: Any) -> Settings:
    model = DIGITS | OPEN | groups.pop("model", {})
    learner = {"shadow": "none", "exit_at_end": True}
    return settings(directory, model=model, learner=learner, **groups)


@cache
def stream(epochs: int = 1) -> list[Envelope]:
    """Three tasks, each of which brings two labels more."""
    options = ReplayOptions(epochs_per_task=epochs)
    return list(envelopes(globally_labelled(digits()), options))


def opened_in(state: State, head: int = 0) -> list[int]:
    """The same in the learner, its shadow and the ledger."""
    found = []
    for track in state.tracks:
        module = track.learner.heads[head].module
        assert isinstance(module, OpenHead)
        found.append(module.is_open.nonzero().flatten().tolist())
    known = state.ledger.labels_of(head, state.settings.model)
    assert found == [known] * len(found)
    assert known is not None
    return known


def told(*hosts: Listener) -> list[tuple[str, list[int], int]]:
    heard = (event for host in hosts for event in host.heard(events.OutputsOpened))
    return [(event.task, event.labels, event.open) for event in heard]


def test_classes_that_come_one_after_the_other_are_learned_with_one_head() -> None:
    state, heard = learn(memory_broker(stream(epochs=3)), chosen())
    assert opened_in(state) == [0, 1, 2, 3, 4, 5]
    assert told(heard) == [(task, [2 * n, 2 * n + 1], 2 * n + 2) for n, task in enumerate(TASKS)]
    assert [event.step for event in heard.heard(events.OutputsOpened)] == [1, 55, 109]
    rows = state.main.measures.accuracy.rows
    for number, row in enumerate(rows):
        own = row[number]
        assert own is not None
        assert own > 0.7  # among all labels that have come so far


def test_the_first_batch_of_a_label_is_counted_wrong() -> None:
    given = chosen(model={"input_shape": (4,), "batch_size": 8})
    heard: list[Message | Envelope] = [samples(8, task="a"), End("end")]
    state, _ = learn(memory_broker(heard), given)
    assert state.measures()["main"].prequential.tasks["a"].wrong == 8


def test_stopped_after_every_batch_it_learns_the_same_and_tells_it_once(tmp_path: Path) -> None:
    broker, store = memory_broker(stream()), CheckpointStore(tmp_path)
    whole, heard = learn(broker, chosen())
    state, hosts = State(chosen(), broker.stream_id(STREAM)), list[Listener]()
    for _ in range(heard.batches + 1):
        hosts.append(Listener(stop_after=1))
        learn(broker, chosen(), state=state, host=hosts[-1])
        state = reloaded(state, store)
    assert contents(state) == contents(whole)
    assert told(*hosts) == told(heard)


def test_a_label_beyond_the_limit_is_rejected_and_opens_nothing() -> None:
    given = chosen(model={"input_shape": (4,), "max_classes": 5})
    one = samples(6, task="a")
    labels = np.array([0, 5, 4, -1, 99, 2])
    messages: list[Message | Envelope] = [Samples(one.inputs, labels, task="a"), End("end")]
    state, heard = learn(memory_broker(messages), given)
    rejected = heard.heard(events.Rejected)
    assert [(event.reason, event.row) for event in rejected] == [
        (Reason.LABEL_OUT_OF_RANGE, row) for row in (1, 3, 4)
    ]
    assert rejected[0].detail == "row 1: label 5 is not from 0 to 4; model.max_classes is 5"
    assert opened_in(state) == [0, 2, 4]


def test_more_names_of_classes_than_there_may_be_labels_are_refused() -> None:
    given = chosen(model={"input_shape": (4,), "max_classes": 2})
    named: list[Message | Envelope] = [samples(2, task="a", classes=("x", "y", "z")), End("end")]
    _, heard = learn(memory_broker(named), given)
    [rejected] = heard.heard(events.Rejected)
    assert rejected.reason == Reason.UNDECODABLE
    assert rejected.detail == "3 classes are named, the model has 2; model.max_classes is 2"


def test_each_head_opens_outputs_of_its_own() -> None:
    state, heard = learn(memory_broker(stream()), chosen(model={"heads": "per-task", "outputs": 1}))
    assert [opened_in(state, head) for head in range(3)] == [[0, 1], [0, 2, 3], [0, 4, 5]]
    assert told(heard) == [
        (TASKS[0], [1], 2),
        (TASKS[1], [2, 3], 3),
        (TASKS[2], [4, 5], 3),
    ]


def test_a_batch_that_is_skipped_or_in_quarantine_opens_nothing() -> None:
    given = chosen(model={"input_shape": (4,), "dtype": "float32", "batch_size": 8})
    inputs = samples(24).inputs.astype(np.float32)
    inputs[8:16] = 3e38
    labels = np.repeat([0, 1, 2], 8)
    messages: list[Message | Envelope] = [Samples(inputs, labels, task="a"), End("end")]
    state, heard = learn(memory_broker(messages), given)
    assert state.ledger.skipped == 1
    assert opened_in(state) == [0, 2]
    assert told(heard) == [("a", [0], 1), ("a", [2], 2)]

    broker, noting = memory_broker(messages), Noting()
    learn(broker, given, host=noting)
    state = State(given, broker.stream_id(STREAM))
    state.ledger.quarantined.append(Quarantined(place=noting.places[0]))
    learn(broker, given, state=state)
    assert opened_in(state) == [2]


# With detection, the stream is read again.


def silent(told_at: Sequence[int] = ()) -> list[Message]:
    """Samples of two worlds that nobody announces; the second has labels of its own."""
    random = np.random.default_rng(7)
    parts = [
        task.train.take(random.integers(0, len(task.train), 2_200))
        for task in globally_labelled(digits()).tasks[:2]
    ]
    inputs, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    edges = sorted({*range(0, len(labels), 50), *told_at, len(labels)})
    messages: list[Message] = []
    for begin, end in pairwise(edges):
        if begin in told_at:
            messages.append(Boundary(f"at {begin}"))
        messages.append(Samples(inputs[begin:end], labels[begin:end]))
    return [*messages, End("end")]


@pytest.mark.parametrize("heads", ["shared", "per-task"])
def test_labels_that_bring_an_alarm_open_in_the_task_that_begins_with_them(heads: str) -> None:
    detecting = chosen(
        model={"heads": heads},
        optimiser={"learning_rate": 0.003},
        detection={"kind": "adwin", "window_samples": 512},
    )
    state, heard = learn(memory_broker(silent()), detecting)
    [alarm] = [one for one in heard.heard(events.Alarmed) if one.decision == "taken"]
    assert alarm.cut == 2_200
    count = 4 if heads == "shared" else 2
    # Before the alarm they had come to the old task, as it seemed.
    assert told(heard) == [
        ("task-1", [0, 1], 2),
        ("task-1", [2, 3], 4),
        ("task-2", [2, 3], count),
    ]
    assert opened_in(state) == ([0, 1, 2, 3] if heads == "shared" else [0, 1])
    expected, _ = learn(memory_broker(silent(told_at=[2_200])), detecting)
    assert state.ledger.open_labels == expected.ledger.open_labels
    assert torch.equal(state.main.learner.trunk["weights"], expected.main.learner.trunk["weights"])


# The service.


def run(directory: Path, messages: Sequence[Message | Envelope], **groups: Any) -> str:
    """Learn a stream as the process does; what /metrics says then."""
    given = chosen(directory, **groups)
    broker, registry = memory_broker(messages), CollectorRegistry()
    state = State(given, broker.stream_id(STREAM))
    with closing(LearnerHost(given, broker, registry, Event())) as host:
        host.resume(state)
        with broker.reader(STREAM, {0: 0}) as reader:
            learn_stream(reader, state, host, until_end=True)
        host.finish(state)
    return generate_latest(registry).decode()


def test_the_service_shows_and_serves_the_labels_that_are_open(tmp_path: Path) -> None:
    metrics = run(tmp_path, stream())
    for task in TASKS:  # of one head
        assert f'si_stream_open_outputs{{task="{task}"}} 6.0' in metrics
    image = digits().tasks[0].test.take(np.arange(3))[0]
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        answer = predictor.client.get("/tasks").json()
        assert answer["model"]["outputs"] == 100
        assert [task["labels"] for task in answer["tasks"]] == [[0, 1, 2, 3, 4, 5]] * 3
        predictions = predictor.predict(TASKS[2], image).json()["predictions"]
        columns = predictor.predict_rows(TASKS[2], image).json()
    assert [len(one["probabilities"]) for one in predictions] == [6, 6, 6]
    assert columns["probabilities"] == [one["probabilities"] for one in predictions]
    assert columns["labels"] == [one["label"] for one in predictions]
    for one in predictions:
        assert sum(one["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert one["class"] == str(one["label"])


def test_a_closed_label_below_the_highest_has_probability_nought(tmp_path: Path) -> None:
    one = samples(16, task="a")
    run(
        tmp_path,
        [Samples(one.inputs, np.tile([1, 3], 8), task="a"), End("end")],
        model={"input_shape": (4,)},
    )
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        [task] = predictor.client.get("/tasks").json()["tasks"]
        assert task["labels"] == [1, 3]
        for row in predictor.predict_rows("a", one.inputs).json()["probabilities"]:
            assert [row[0], row[2]] == [0, 0]
            assert len(row) == 4


def test_heads_with_more_and_fewer_labels_answer_inputs_that_name_no_task(tmp_path: Path) -> None:
    run(tmp_path, stream(), model={"heads": "per-task"})
    images = np.concatenate([task.test.take(np.arange(20))[0] for task in digits().tasks])
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        inputs = {"inputs": images.tolist()}
        chosen = predictor.client.post("/predict", json=inputs).json()["predictions"]
        named = {task: predictor.predict(task, images).json()["predictions"] for task in TASKS}
        rows = predictor.client.post("/predict", content=images.tobytes(), headers=ROWS).json()
    assert {len(one["probabilities"]) for one in chosen} == {2, 4, 6}
    for number, one in enumerate(chosen):
        expected = named[one["task"]][number]
        assert {key: one[key] for key in expected} == expected
    assert rows["probabilities"] == [one["probabilities"] for one in chosen]


def test_a_task_that_has_no_label_yet_is_not_served(tmp_path: Path) -> None:
    inputs = samples(8).inputs.astype(np.float32)
    inputs[:] = 3e38
    skipped = Samples(inputs, np.zeros(8, np.int64), task="a")
    run(
        tmp_path,
        [skipped, End("end")],
        model={"input_shape": (4,), "dtype": "float32", "batch_size": 8},
    )
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        assert predictor.client.get("/tasks").json()["tasks"] == []
        refused = predictor.predict("a", inputs[:1])
    assert refused.status_code == 404


def test_the_number_of_open_outputs_is_shown_at_once_after_a_resume(tmp_path: Path) -> None:
    given = chosen(tmp_path)
    broker = memory_broker(stream())
    state = State(given, broker.stream_id(STREAM))
    registries = [CollectorRegistry() for _ in range(2)]
    for registry in registries:
        with closing(LearnerHost(given, broker, registry, Event())) as host:
            host.resume(state)
            if not state.ledger.steps:
                host.learn(state)
                host.finish(state)
        state = State(given, broker.stream_id(STREAM))
    shown = [generate_latest(registry).decode() for registry in registries]
    assert all(f'si_stream_open_outputs{{task="{TASKS[0]}"}} 6.0' in text for text in shown)


def test_the_log_says_when_outputs_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run(tmp_path, stream())
    lines = [line for line in caplog.messages if "for the first time" in line]
    assert len(lines) == 3
    assert lines[1] == "labels 2, 3 came to task 'digits-2-3' for the first time; it has 4"
