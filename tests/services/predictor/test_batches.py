"""Small requests that are computed together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from services.predictor.batches import MAX_ROWS
from tests.services.predictor.held_up import held_up, serving_held
from tests.services.predictor.open_inference.asking import client_of, tensor_of
from tests.services.predictor.serving import (
    ROWS,
    Running,
    Teacher,
    model_options,
    random_inputs,
    serving,
    wait_for,
)
from tests.services.predictor.test_metrics import value

LONG = {"batch_window_seconds": 60.0, "deadline_seconds": 120.0}
"""A window that is always closed before its end, by a batch that is full."""
BATCHES = "si_stream_prediction_batches_total"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def teacher_of(directory: Path, **changes: Any) -> Teacher:
    teacher = Teacher(directory, model_options(**changes))
    teacher.teach()
    teacher.publish()
    return teacher


def ask(
    predictor: Running, inputs: npt.NDArray[Any], task: str = "digits-0-1", **headers: str
) -> httpx.Response:
    return httpx.post(
        f"{predictor.url}/predict?task={task}",
        content=inputs.tobytes(),
        headers=ROWS | headers,
        timeout=60,
    )


def test_requests_of_a_task_are_computed_together_and_each_gets_its_own_answer(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    teacher = teacher_of(tmp_path, input_shape=(28, 28), outputs=10)
    parts = [random_inputs(teacher.model, MAX_ROWS // 8, seed) for seed in range(8)]
    with serving(tmp_path, **LONG) as predictor:
        predictor.wait_until_ready()
        answers = list(pool.map(lambda inputs: ask(predictor, inputs), parts))
        assert value(predictor, BATCHES) == 1
        assert value(predictor, "si_stream_predictions_total") == MAX_ROWS
        assert value(predictor, "si_stream_prediction_wait_seconds_count") == 8
    for inputs, answer in zip(parts, answers, strict=True):
        given = np.array(answer.json()["probabilities"], np.float32)
        np.testing.assert_allclose(given, teacher.probabilities(inputs, 0), rtol=0, atol=1e-6)


def test_requests_of_two_tasks_are_not_mixed(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    teacher = teacher_of(tmp_path)
    inputs = random_inputs(teacher.model, MAX_ROWS // 4)
    tasks = ["digits-0-1", "digits-2-3"] * 4
    with serving(tmp_path, **LONG) as predictor:
        predictor.wait_until_ready()
        answers = list(pool.map(lambda task: ask(predictor, inputs, task), tasks))
        assert value(predictor, BATCHES) == 2
    for task, answer in zip(tasks, answers, strict=True):
        assert answer.json()["task"] == task
        given = np.array(answer.json()["probabilities"], np.float32)
        expected = teacher.probabilities(inputs, tasks.index(task))
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("window_seconds", [0.0001, 0.01])
def test_a_request_that_stays_alone_is_answered_to_the_bit(
    window_seconds: float, tmp_path: Path
) -> None:
    teacher = teacher_of(tmp_path)
    inputs = random_inputs(teacher.model, 2)
    with (
        serving(tmp_path, batch_window_seconds=window_seconds) as predictor,
        client_of(predictor) as client,
    ):
        predictor.wait_until_ready()
        for number in range(3):
            result = client.infer("si-stream/digits-0-1", [tensor_of(inputs)])
            expected = teacher.probabilities(inputs, 0)
            assert result.as_numpy("probabilities").tobytes() == expected.tobytes()
            assert value(predictor, BATCHES) == number + 1


def test_inputs_that_overflow_spoil_no_neighbours(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    teacher = teacher_of(tmp_path, dtype="float32")
    good = random_inputs(teacher.model, MAX_ROWS // 4)
    bad = np.full_like(good, 3e38) * np.array([1, 1, -1, -1], np.float32)
    bad[::2] *= -1
    with serving(tmp_path, **LONG) as predictor:
        predictor.wait_until_ready()
        answers = list(pool.map(lambda inputs: ask(predictor, inputs), [good, bad, good, good]))
        assert value(predictor, BATCHES) == 1
    assert [answer.status_code for answer in answers] == [200, 422, 200, 200]
    assert "overflows" in answers[1].json()["error"]
    for answer in (answers[0], *answers[2:]):
        given = np.array(answer.json()["probabilities"], np.float32)
        assert given.tobytes() == teacher.probabilities(good, 0).tobytes()


def test_a_deadline_before_the_windows_end_is_kept(tmp_path: Path) -> None:
    teacher = teacher_of(tmp_path)
    inputs = random_inputs(teacher.model, 1)
    with serving(tmp_path, **LONG) as predictor:
        predictor.wait_until_ready()
        late = ask(predictor, inputs, **{"Deadline-Seconds": "0.3"})
        assert late.status_code == 504
        assert value(predictor, "si_stream_predictions_total") == 0
        reason = {"reason": "deadline-passed"}
        assert value(predictor, "si_stream_prediction_requests_rejected_total", **reason) == 1


def test_a_client_that_has_gone_is_not_computed_for(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    teacher = teacher_of(tmp_path)
    inputs = random_inputs(teacher.model, MAX_ROWS // 2)
    with serving(tmp_path, **LONG) as predictor:
        predictor.wait_until_ready()
        waiting = "si_stream_prediction_requests_waiting"
        with predictor.connect() as connection:
            content = inputs[:1].tobytes()
            head = (
                "POST /predict?task=digits-0-1 HTTP/1.1\r\nHost: x\r\n"
                f"Content-Type: {ROWS['Content-Type']}\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            connection.sendall(head.encode() + content)
            wait_for(lambda: value(predictor, waiting) == 1)
        answers = list(pool.map(lambda inputs: ask(predictor, inputs), [inputs, inputs[1:]]))
        assert [answer.status_code for answer in answers] == [200, 200]
        gone = {"reason": "client-gone"}
        assert value(predictor, "si_stream_prediction_requests_rejected_total", **gone) == 1
        assert value(predictor, "si_stream_predictions_total") == MAX_ROWS - 1


def test_the_wait_that_is_measured_ends_when_the_batch_is_computed(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    held_seconds = 0.5
    with serving_held(tmp_path, **LONG) as predictor:
        inputs = np.zeros((MAX_ROWS, 4), np.uint8)
        with held_up():
            answer = pool.submit(ask, predictor, inputs)
            wait_for(lambda: predictor.app.prediction.admission.inside == 1)
            threading.Event().wait(held_seconds)
        assert answer.result().status_code == 200
        waited = value(predictor, "si_stream_prediction_wait_seconds_sum")
        all_in_all = value(predictor, "si_stream_prediction_duration_seconds_sum")
    assert all_in_all - waited > held_seconds / 2


def test_inputs_whose_task_is_chosen_are_computed_by_themselves(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish_choosable()
    inputs = random_inputs(teacher.model, 3)
    with serving(tmp_path, **LONG) as predictor:
        predictor.wait_until_ready()
        answer = predictor.client.post("/predict", json={"inputs": inputs.tolist()})
        assert len(answer.json()["predictions"]) == 3
        assert value(predictor, BATCHES) == 0
