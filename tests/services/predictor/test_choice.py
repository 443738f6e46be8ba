"""POST /predict for inputs that name no task, over a socket, of digits that were really learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from services.choosing import Choosing
from services.predictor import answers
from services.snapshotting import make_snapshot
from si_stream.checkpoints.snapshots import Snapshot, SnapshotStore
from si_stream.state import State
from tests.services.predictor.serving import (
    JSON,
    ROWS,
    Running,
    Teacher,
    model_options,
    random_inputs,
    serving,
)
from tests.services.predictor.test_metrics import value
from tests.streams import DIGITS, digits, digits_stream, learn, memory_broker, settings

TASKS = ["digits-0-1", "digits-2-3", "digits-4-5"]


def snapshot_of(state: State) -> Snapshot:
    tensors = state.main.learner.state()
    place = (state.settings.model, state.ledger, state.measures(), tensors, 1, 0.0)
    return make_snapshot(*place, Choosing().of(state).chooser())


@pytest.fixture(scope="module")
def state() -> State:
    broker = memory_broker(digits_stream(epochs_per_task=6, holdout_samples_per_task=30))
    return learn(broker, settings(model=DIGITS))[0]


@pytest.fixture(scope="module")
def snapshot(state: State) -> Snapshot:
    return snapshot_of(state)


@pytest.fixture(scope="module")
def choosing(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("model")
    SnapshotStore(directory).publish(snapshot, keep=3)
    with serving(directory, max_inputs=150) as running:
        running.wait_until_ready()
        yield running


class Asked(NamedTuple):
    """Test images of all tasks that the learner does not hold, mixed, and what they are."""

    inputs: np.ndarray[Any, Any]
    tasks: list[str]
    classes: list[str]


@pytest.fixture(scope="module")
def asked(state: State) -> Asked:
    held = {row.tobytes() for each in state.holdouts.sets.values() for row in each.inputs.numpy()}
    inputs, tasks, classes = [], [], []
    for task in digits().tasks:
        images, labels = task.test.take(np.arange(len(task.test)))
        unseen = [row.tobytes() not in held for row in images]
        images, labels = images[unseen], labels[unseen]
        inputs.append(images)
        tasks += [task.name] * len(labels)
        classes += [task.classes[label] for label in labels]
    order = np.random.default_rng(0).permutation(len(tasks))
    return Asked(
        np.concatenate(inputs)[order], [tasks[n] for n in order], [classes[n] for n in order]
    )


def by_json(predictor: Running, inputs: np.ndarray[Any, Any], **members: Any) -> httpx.Response:
    return predictor.client.post("/predict", json={"inputs": inputs.tolist(), **members})


def by_rows(predictor: Running, inputs: np.ndarray[Any, Any], **query: str) -> httpx.Response:
    return predictor.client.post("/predict", params=query, content=inputs.tobytes(), headers=ROWS)


def test_each_input_has_its_own_task_and_most_have_the_right_one(
    choosing: Running, asked: Asked
) -> None:
    answer = by_json(choosing, asked.inputs).json()
    assert answer.keys() == {"version", "position", "predictions"}
    predictions = answer["predictions"]
    assert set(asked.tasks) == set(TASKS)
    assert np.mean([p["task"] for p in predictions] == np.array(asked.tasks)) > 0.9
    assert np.mean([p["class"] for p in predictions] == np.array(asked.classes)) > 0.85


def test_how_sure_it_is_is_how_often_it_is_right(choosing: Running, asked: Asked) -> None:
    answer = by_rows(choosing, asked.inputs).json()
    sure = np.array(answer["task_probabilities"])
    right = np.array(answer["tasks"]) == np.array(asked.tasks)
    bins = (sure * 10).astype(int).clip(max=9)
    error = sum(abs(right[bins == n].sum() - sure[bins == n].sum()) for n in range(10))
    assert error / len(sure) < 0.06
    assert len(set(sure)) > 20  # not all of them quite sure


def test_each_is_answered_as_if_its_task_had_been_named(choosing: Running, asked: Asked) -> None:
    chosen = by_rows(choosing, asked.inputs).json()
    for task in TASKS:
        own = [n for n, name in enumerate(chosen["tasks"]) if name == task]
        named = choosing.predict_rows(task, asked.inputs[own]).json()
        assert [chosen["probabilities"][n] for n in own] == named["probabilities"]
        assert [chosen["labels"][n] for n in own] == named["labels"]
        assert chosen["classes"][task] == named["classes"]


def test_rows_and_json_are_answered_alike(choosing: Running, asked: Asked) -> None:
    columns = by_rows(choosing, asked.inputs)
    rows = by_json(choosing, asked.inputs, choose="portrait", task=None)
    answers.ChosenColumns.model_validate_json(columns.content, strict=True)
    answers.ChosenPredictions.model_validate_json(rows.content, strict=True)
    told = columns.json()
    for number, prediction in enumerate(rows.json()["predictions"]):
        task, label = told["tasks"][number], told["labels"][number]
        assert prediction == {
            "task": task,
            "task_probability": told["task_probabilities"][number],
            "label": label,
            "class": told["classes"][task][label],
            "probabilities": told["probabilities"][number],
        }


def test_one_input_is_answered_as_it_is_among_many(choosing: Running, asked: Asked) -> None:
    together = by_rows(choosing, asked.inputs[:5], choose="portrait").json()
    for number, one in enumerate(asked.inputs[:5]):
        alone = by_rows(choosing, one[np.newaxis]).json()
        assert alone["tasks"] == [together["tasks"][number]]
        assert alone["task_probabilities"] == pytest.approx(
            [together["task_probabilities"][number]], rel=1e-6
        )


def test_what_is_chosen_is_counted(snapshot: Snapshot, asked: Asked, tmp_path: Path) -> None:
    active = snapshot.manifest.model_copy(update={"active_task": TASKS[1]})
    SnapshotStore(tmp_path).publish(snapshot._replace(manifest=active), keep=3)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        predictor.predict(TASKS[0], asked.inputs[:3])
        chosen = by_rows(predictor, asked.inputs).json()["tasks"]
        by_json(predictor, asked.inputs[:7], choose="active")
        counter = "si_stream_predictions_total"
        expected = {task: chosen.count(task) for task in TASKS}
        expected[TASKS[0]] += 3
        expected[TASKS[1]] += 7
        assert {task: value(predictor, counter, task=task) for task in TASKS} == expected
        counter = "si_stream_predictions_chosen_total"
        assert value(predictor, counter, choose="portrait") == len(asked.inputs)
        assert value(predictor, counter, choose="active") == 7


def test_the_active_tasks_head_can_be_asked_for(
    snapshot: Snapshot, asked: Asked, tmp_path: Path
) -> None:
    active = snapshot.manifest.model_copy(update={"active_task": TASKS[1]})
    SnapshotStore(tmp_path).publish(snapshot._replace(manifest=active), keep=3)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        named = predictor.predict(TASKS[1], asked.inputs).content
        assert by_json(predictor, asked.inputs, choose="active").content == named
        named = predictor.predict_rows(TASKS[1], asked.inputs).content
        assert by_rows(predictor, asked.inputs, choose="active").content == named


@pytest.mark.parametrize(
    ("members", "problem", "says"),
    [
        ({"choose": "active"}, "unknown-task", "none is active"),
        ({"choose": "best"}, "malformed-request", "one of portrait, active"),
        ({"choose": 1}, "malformed-request", "choose must be text, not a number"),
        ({"choose": "portrait", "task": TASKS[0]}, "malformed-request", "a task is named"),
        ({"task": "cats"}, "unknown-task", "'cats' is not known"),
    ],
)
def test_what_cannot_be_chosen_is_a_problem(
    members: dict[str, Any], problem: str, says: str, choosing: Running, asked: Asked
) -> None:
    responses = [by_json(choosing, asked.inputs[:1], **members)]
    if all(isinstance(member, str) for member in members.values()) and len(members) == 1:
        responses.append(by_rows(choosing, asked.inputs[:1], **members))
    for response in responses:
        details = response.json()
        assert details["type"] == f"urn:si-stream:problem:{problem}"
        assert says in details["detail"]


def test_no_inputs_and_too_many_are_the_same_problem_without_a_task(
    choosing: Running, asked: Asked
) -> None:
    inputs = np.concatenate([asked.inputs, asked.inputs])[:151]
    for given, problem in ((inputs, "input-too-large"), (inputs[:0], "empty-input")):
        for response in (by_rows(choosing, given), by_json(choosing, given)):
            assert response.json()["type"] == f"urn:si-stream:problem:{problem}"


def test_a_task_without_a_portrait_is_never_chosen(
    snapshot: Snapshot, asked: Asked, tmp_path: Path
) -> None:
    fewer = {place: snapshot.portraits[place] for place in (0, 2)}
    SnapshotStore(tmp_path).publish(snapshot._replace(portraits=fewer), keep=3)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        told = predictor.client.get("/tasks").json()["tasks"]
        assert [task["choosable"] for task in told] == [True, False, True]
        answer = by_rows(predictor, asked.inputs).json()
        assert set(answer["tasks"]) == {TASKS[0], TASKS[2]}
        known = np.array(asked.tasks) != TASKS[1]
        assert np.mean((np.array(answer["tasks"]) == np.array(asked.tasks))[known]) > 0.9
        assert predictor.predict_rows(TASKS[1], asked.inputs).status_code == 200


def test_a_snapshot_without_portraits_needs_the_task_named(
    snapshot: Snapshot, asked: Asked, tmp_path: Path
) -> None:
    manifest = snapshot.manifest.model_copy(update={"choice": None})
    SnapshotStore(tmp_path).publish(Snapshot(manifest, snapshot.weights), keep=3)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        for response in (
            by_rows(predictor, asked.inputs),
            by_json(predictor, asked.inputs, choose="portrait"),
        ):
            details = response.json()
            assert details["type"] == "urn:si-stream:problem:unknown-task"
            assert "no task is named" in details["detail"]
        assert predictor.predict(TASKS[0], asked.inputs).status_code == 200


def test_portraits_change_nothing_where_a_task_is_named(
    snapshot: Snapshot, choosing: Running, asked: Asked, tmp_path: Path
) -> None:
    manifest = snapshot.manifest.model_copy(update={"choice": None})
    SnapshotStore(tmp_path).publish(Snapshot(manifest, snapshot.weights), keep=3)
    with serving(tmp_path) as without:
        without.wait_until_ready()
        for task in TASKS:
            for ask in ("predict", "predict_rows"):
                one, other = (getattr(p, ask)(task, asked.inputs) for p in (choosing, without))
                assert one.content == other.content


def test_a_shared_head_leaves_nothing_to_choose(tmp_path: Path, asked: Asked) -> None:
    chosen = settings(model=DIGITS | {"heads": "shared"})
    snapshot = snapshot_of(learn(memory_broker(digits_stream()), chosen)[0])
    assert snapshot.portraits == {}
    SnapshotStore(tmp_path).publish(snapshot, keep=3)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        for way in ({}, {"choose": "portrait"}, {"choose": "active"}):
            assert by_rows(predictor, asked.inputs, **way).json()["task"] == TASKS[2]
        assert value(predictor, "si_stream_predictions_total", task=TASKS[2]) == 3 * len(
            asked.inputs
        )


def test_numbers_too_large_to_choose_by_are_wrong_inputs(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path, model_options(dtype="float32"))
    teacher.teach()
    teacher.publish_choosable()
    largest = np.full((1, 4), np.finfo(np.float32).max)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        assert by_rows(predictor, random_inputs(teacher.model, 1)).status_code == 200
        answer = by_rows(predictor, largest)
    assert answer.json()["type"] == "urn:si-stream:problem:wrong-input"


def test_a_snapshot_whose_portraits_do_not_fit_is_refused(
    snapshot: Snapshot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SnapshotStore(tmp_path)
    store.publish(snapshot, keep=3)
    other = Teacher(tmp_path / "other")
    other.teach()
    store.publish(snapshot._replace(portraits=other.choosable().portraits), keep=3)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        content = b'{"inputs": [%s]}' % str([[0] * 8] * 8).encode()
        answer = predictor.client.post("/predict", content=content, headers=JSON)
        assert answer.json()["predictions"][0]["task"] in TASKS
    assert "does not fit its own model" in caplog.text
