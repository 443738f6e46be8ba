"""GET /metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.services.learner_api.serving import answers
from tests.services.predictor.serving import (
    JSON,
    Running,
    Teacher,
    random_inputs,
    serving,
    wait_for,
)

OURS = {
    "si_stream_http_requests": "counter",
    "si_stream_http_requests_in_flight": "gauge",
    "si_stream_prediction_batches": "counter",
    "si_stream_prediction_duration_seconds": "histogram",
    "si_stream_prediction_requests_rejected": "counter",
    "si_stream_prediction_requests_waiting": "gauge",
    "si_stream_prediction_wait_seconds": "histogram",
    "si_stream_predictions": "counter",
    "si_stream_predictions_chosen": "counter",
    "si_stream_served_position_offset": "gauge",
    "si_stream_served_snapshot_age_seconds": "gauge",
    "si_stream_served_snapshot_epoch": "gauge",
    "si_stream_served_snapshot_load_failures": "counter",
    "si_stream_served_snapshot_loads": "counter",
    "si_stream_served_snapshot_samples": "gauge",
    "si_stream_served_snapshot_step": "gauge",
}


OF_A_SOURCE = {
    "si_stream_source_age_seconds": "gauge",
    "si_stream_source_failures": "counter",
    "si_stream_source_received_bytes": "counter",
    "si_stream_source_snapshots": "counter",
    "si_stream_source_up": "gauge",
}


def families(predictor: Running) -> dict[str, Metric]:
    response = predictor.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(response.text)}


def value(predictor: Running, sample: str, **labels: str) -> float:
    found = [
        each.value
        for family in families(predictor).values()
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    ]
    (only,) = found or [0.0]
    return only


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.teach()
    return teacher


def test_the_metrics_are_these(teacher: Teacher) -> None:
    teacher.publish()
    with serving(teacher.store.epochs.parent) as predictor:
        predictor.wait_until_ready()
        found = families(predictor)
    ours = {name: family.type for name, family in found.items() if name.startswith("si_stream_")}
    assert ours == OURS
    assert all(family.documentation.endswith(".") for family in found.values())
    others = found.keys() - ours.keys()
    assert others
    assert all(name.startswith("process_") for name in others)


def test_of_one_that_follows_a_url_there_are_these_too(teacher: Teacher, tmp_path: Path) -> None:
    path = teacher.publish()
    with (
        answers(teacher.store.epochs.parent) as there,
        serving(tmp_path / "copy", source=there) as predictor,
    ):
        predictor.wait_until_ready()
        wait_for(lambda: value(predictor, "si_stream_source_up") == 1)
        found = families(predictor)
        ours = {name: one.type for name, one in found.items() if name.startswith("si_stream_")}
        assert ours == OURS | OF_A_SOURCE
        page = (Path(__file__).parents[3] / "docs/metrics.md").read_text("utf-8")
        assert all(f"`{name}" in page for name in ours)
        assert value(predictor, "si_stream_source_snapshots_total") == 1
        received = value(predictor, "si_stream_source_received_bytes_total")
        assert received >= path.stat().st_size
    with serving(tmp_path / "copy", source=there) as predictor:
        wait_for(lambda: value(predictor, "si_stream_source_failures_total", reason="away") > 0)
        assert value(predictor, "si_stream_source_up") == 0


def test_predictions_are_counted_by_task_and_timed(teacher: Teacher) -> None:
    teacher.publish()
    inputs = random_inputs(teacher.model, 3)
    with serving(teacher.store.epochs.parent) as predictor:
        predictor.wait_until_ready()
        predictor.predict("digits-0-1", inputs)
        predictor.predict_rows("digits-0-1", inputs)
        predictor.predict_rows("digits-2-3", inputs[:1])
        assert value(predictor, "si_stream_predictions_total", task="digits-0-1") == 6
        assert value(predictor, "si_stream_predictions_total", task="digits-2-3") == 1
        assert value(predictor, "si_stream_prediction_duration_seconds_count") == 3
        assert value(predictor, "si_stream_prediction_duration_seconds_bucket", le="+Inf") == 3
        assert value(predictor, "si_stream_prediction_duration_seconds_sum") > 0


def test_labels_do_not_grow_with_what_clients_send(teacher: Teacher) -> None:
    teacher.publish()
    with serving(teacher.store.epochs.parent) as predictor:
        predictor.wait_until_ready()
        for number in range(5):
            predictor.client.get(f"/nothing/{number}")
            predictor.client.get(f"/tasks?number={number}")
            predictor.client.request(f"X{number}", "/nothing")
            content = f'{{"task": "{number}", "inputs": [[1, 2, 3, 4]]}}'
            predictor.client.post("/predict", content=content, headers=JSON)
        found = families(predictor)
        requests = {
            (sample.labels["route"], sample.labels["status"]): sample.value
            for sample in found["si_stream_http_requests"].samples
        }
    del requests["/healthz/ready", "200"]
    requests.pop(("/healthz/ready", "503"), None)
    assert requests == {
        ("unknown", "404"): 5,
        ("/tasks", "200"): 5,
        ("/predict", "404"): 5,
    }
    assert found["si_stream_predictions"].samples == []


def test_what_is_served_is_told_from_the_first_snapshot_on(teacher: Teacher) -> None:
    directory = teacher.store.epochs.parent
    with serving(directory) as predictor:
        assert "si_stream_served_snapshot_step" not in families(predictor)
        assert value(predictor, "si_stream_served_snapshot_loads_total") == 0
        teacher.publish(epoch=2, step=7, samples=70, position={0: (17, 3), 1: (4, 0)})
        predictor.wait_until_ready()
        assert value(predictor, "si_stream_served_snapshot_epoch") == 2
        assert value(predictor, "si_stream_served_snapshot_step") == 7
        assert value(predictor, "si_stream_served_snapshot_samples") == 70
        assert value(predictor, "si_stream_served_snapshot_loads_total") == 1
        assert value(predictor, "si_stream_served_position_offset", partition="0") == 17
        assert value(predictor, "si_stream_served_position_offset", partition="1") == 4
        assert value(predictor, "si_stream_served_snapshot_age_seconds") >= 0
        newest = next(teacher.store.newest_first())
        (newest.parent / newest.name.replace("01-", "02-", 1)).touch()  # empty from the beginning
        failures = "si_stream_served_snapshot_load_failures_total"
        wait_for(lambda: value(predictor, failures) == 1)
        assert value(predictor, "si_stream_served_snapshot_step") == 7


def test_a_request_is_in_flight_until_it_is_answered(teacher: Teacher) -> None:
    teacher.publish()
    in_flight = "si_stream_http_requests_in_flight"
    with serving(teacher.store.epochs.parent) as predictor:
        predictor.wait_until_ready()
        assert value(predictor, in_flight) == 1  # this very one
        with predictor.connect() as connection:
            connection.sendall(
                b"POST /predict?task=digits-0-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                b"Content-Type: application/octet-stream\r\n\r\n"
            )
            wait_for(lambda: value(predictor, in_flight) == 2)
        wait_for(lambda: value(predictor, in_flight) == 1)
        gone = value(predictor, "si_stream_http_requests_total", route="/predict", status="499")
        assert gone == 1


def test_two_predictors_in_one_process_count_apart(teacher: Teacher) -> None:
    teacher.publish()
    directory = teacher.store.epochs.parent
    with serving(directory) as one, serving(directory) as other:
        one.wait_until_ready()
        other.wait_until_ready()
        one.predict("digits-0-1", random_inputs(teacher.model, 1))
        assert value(one, "si_stream_predictions_total") == 1
        assert value(other, "si_stream_predictions_total") == 0
