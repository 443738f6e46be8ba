"""POST /predict over a socket, against the learner that the snapshot is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from si_stream.learning.options import ModelOptions, NetworkOptions
from tests.services.predictor.serving import (
    ROWS,
    TASKS,
    Running,
    Teacher,
    model_options,
    random_inputs,
    serving,
)

MODELS = {
    "uint8": model_options(),
    "float32": model_options(dtype="float32"),
    "images": model_options(
        input_shape=(3, 32, 32), outputs=10, network=NetworkOptions(kind="cifar-cnn")
    ),
    "one shared head": model_options(heads="shared", outputs=5),
    "many inputs": model_options(input_shape=(28, 28), outputs=10),
}


def probabilities(answer: dict[str, Any]) -> np.ndarray[Any, Any]:
    rows = answer.get("probabilities") or [p["probabilities"] for p in answer["predictions"]]
    return np.array(rows, np.float64).astype(np.float32)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_the_answers_are_the_learners_own_to_the_bit(model: ModelOptions, tmp_path: Path) -> None:
    teacher = Teacher(tmp_path, model)
    teacher.teach()
    teacher.publish()
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        for count in (1, 3, 40):  # the last of them in the worker thread, for the larger models
            inputs = random_inputs(model, count, seed=count)
            for number, task in enumerate(TASKS):
                head = number if model.heads == "per-task" else 0
                expected = teacher.probabilities(inputs, head)
                for response in (
                    predictor.predict(task, inputs),
                    predictor.predict_rows(task, inputs),
                ):
                    assert response.status_code == 200, response.text
                    assert probabilities(response.json()).tobytes() == expected.tobytes()


def test_json_is_answered_with_one_prediction_for_each_input(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 2)
    answer = predictor.predict("digits-0-1", inputs).json()
    expected = teacher.probabilities(inputs, 0)
    labels = expected.argmax(1).tolist()
    assert answer == {
        "task": "digits-0-1",
        "version": {"epoch": 1, "step": 3},
        "position": {"0": {"offset": 17, "row": 3}},
        "predictions": [
            {
                "label": label,
                "class": ["zero", "one"][label],
                "probabilities": [float(str(p)) for p in row],
            }
            for label, row in zip(labels, expected, strict=True)
        ],
    }


def test_raw_rows_are_answered_in_columns(predictor: Running, teacher: Teacher) -> None:
    inputs = random_inputs(teacher.model, 2)
    answer = predictor.predict_rows("digits-0-1", inputs).json()
    expected = teacher.probabilities(inputs, 0)
    assert answer == {
        "task": "digits-0-1",
        "version": {"epoch": 1, "step": 3},
        "position": {"0": {"offset": 17, "row": 3}},
        "classes": ["zero", "one"],
        "labels": expected.argmax(1).tolist(),
        "probabilities": [[float(str(p)) for p in row] for row in expected],
    }


def test_a_task_without_class_names_is_answered_without_them(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 1)
    assert predictor.predict_rows("digits-2-3", inputs).json()["classes"] is None
    prediction = predictor.predict("digits-2-3", inputs).json()["predictions"][0]
    assert prediction["class"] is None


def test_a_label_beyond_the_named_classes_has_none(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path, model_options(outputs=5))
    teacher.teach()
    snapshot = teacher.snapshot()
    task = snapshot.manifest.tasks[0].model_copy(update={"classes": ()})
    teacher.publish(tasks=[task])
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        response = predictor.predict("digits-0-1", random_inputs(teacher.model, 3))
    assert [p["class"] for p in response.json()["predictions"]] == [None] * 3


def test_with_one_shared_head_no_task_need_be_named(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path, model_options(heads="shared"))
    teacher.teach()
    teacher.publish()
    inputs = random_inputs(teacher.model, 2)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        by_json = predictor.client.post("/predict", json={"inputs": inputs.tolist()})
        by_rows = predictor.client.post("/predict", content=inputs.tobytes(), headers=ROWS)
    expected = teacher.probabilities(inputs, 0)
    assert probabilities(by_json.json()).tobytes() == expected.tobytes()
    assert probabilities(by_rows.json()).tobytes() == expected.tobytes()
    assert by_rows.json()["task"] == "digits-2-3"


def test_an_only_task_need_not_be_named(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish(tasks=teacher.snapshot().manifest.tasks[:1])
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        inputs = random_inputs(teacher.model, 1)
        for body in ({"inputs": inputs.tolist()}, {"task": None, "inputs": inputs.tolist()}):
            assert predictor.client.post("/predict", json=body).json()["task"] == "digits-0-1"


def test_a_task_may_have_any_printable_name(tmp_path: Path) -> None:
    name = "Zahlen 0/1 & ünïcode=%41+\"'"
    teacher = Teacher(tmp_path)
    teacher.teach()
    tasks = teacher.snapshot().manifest.tasks
    teacher.publish(tasks=[tasks[0].model_copy(update={"name": name}), tasks[1]])
    inputs = random_inputs(teacher.model, 1)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        urls = [f"/predict?task={quote(name, safe=safe)}" for safe in ("", "/", "/='\"")]
        answers = [predictor.client.post(u, content=inputs.tobytes(), headers=ROWS) for u in urls]
        answers.append(predictor.predict(name, inputs))
        assert [answer.json()["task"] for answer in answers] == [name] * 4
        assert f'task="{name}"'.replace('+"', '+\\"', 1) in predictor.client.get("/metrics").text


def test_media_types_may_be_written_in_any_way(predictor: Running, teacher: Teacher) -> None:
    inputs = random_inputs(teacher.model, 1)
    for written in (
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json ;x=1",
    ):
        content = f'{{"task": "digits-0-1", "inputs": {inputs.tolist()}}}'
        response = predictor.client.post(
            "/predict", content=content, headers={"Content-Type": written}
        )
        assert response.status_code == 200, written


def test_a_body_may_come_in_pieces(predictor: Running, teacher: Teacher) -> None:
    inputs = random_inputs(teacher.model, 5)
    pieces = (bytes([byte]) for byte in inputs.tobytes())
    response = predictor.client.post("/predict?task=digits-2-3", content=pieces, headers=ROWS)
    assert probabilities(response.json()).tobytes() == teacher.probabilities(inputs, 1).tobytes()
