"""Inference by the Open Inference Protocol gives what the library gives, to the bit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.http as triton

from services.predictor.served import Served
from si_stream.checkpoints.snapshots import SnapshotStore, read
from si_stream.learning.frozen import FrozenNetwork
from si_stream.learning.options import NetworkOptions
from tests.services.predictor.open_inference.asking import (
    as_json,
    client_of,
    floats,
    outputs_of,
    requested,
    tensor_of,
    texts,
)
from tests.services.predictor.serving import (
    JSON,
    Running,
    Teacher,
    model_options,
    random_inputs,
    serving,
)

BASE, FIRST, SECOND = "si-stream", "si-stream/digits-0-1", "si-stream/digits-2-3"
INFER = f"/v2/models/{FIRST}/infer"


@pytest.fixture(scope="module")
def choosable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Teacher, Running]]:
    """Where a task can be chosen for each input."""
    teacher = Teacher(tmp_path_factory.mktemp("choosable"))
    teacher.teach()
    teacher.publish_choosable()
    with serving(teacher.store.epochs.parent) as running:
        running.wait_until_ready()
        yield teacher, running


def library(teacher: Teacher) -> Served:
    """The snapshot that is served, without a service."""
    return Served(read(next(SnapshotStore(teacher.store.epochs.parent).newest_first())))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize(
    "shape_and_network",
    [
        ((28, 28), NetworkOptions(hidden=(32, 32))),
        ((3, 32, 32), NetworkOptions(kind="cifar-cnn")),
    ],
    ids=["mlp", "cnn"],
)
def test_tritonclient_gets_the_same_answers_as_the_library(
    dtype: Any, binary: bool, shape_and_network: tuple[Any, NetworkOptions], tmp_path: Path
) -> None:
    shape, network = shape_and_network
    model = model_options(input_shape=shape, outputs=5, dtype=dtype, network=network)
    teacher = Teacher(tmp_path, model)
    teacher.teach(1)
    teacher.publish()
    bare = read(next(teacher.store.newest_first()))
    frozen = FrozenNetwork(model, bare.weights)
    with serving(tmp_path) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        for count in (1, 7):
            inputs = random_inputs(model, count)
            for head, name in enumerate((FIRST, SECOND)):
                result = client.infer(
                    name,
                    [tensor_of(inputs, binary=binary)],
                    outputs=requested("probabilities", "label", binary=binary),
                )
                expected = frozen.probabilities(inputs, head)
                assert result.as_numpy("probabilities").dtype == np.float32
                assert result.as_numpy("probabilities").tobytes() == expected.tobytes()
                assert result.as_numpy("label").tolist() == expected.argmax(1).tolist()
                assert ("binary_data_size" in str(result.get_response())) is binary


def test_curl_gets_the_same_answers_as_the_library(
    predictor: Running, teacher: Teacher, tmp_path: Path
) -> None:
    inputs = random_inputs(teacher.model, 3)
    request = as_json(inputs, id="from a shell")
    url = f"{predictor.url}{INFER}"
    plain = subprocess.run(
        ["curl", "--silent", "--fail", url, "--data", json.dumps(request)],
        capture_output=True,
        check=True,
    )
    response = json.loads(plain.stdout)
    expected = library(teacher).probabilities(inputs, library(teacher).tasks["digits-0-1"])
    assert response["id"] == "from a shell"
    assert floats(outputs_of(response)["probabilities"], (3, 2)).tobytes() == expected.tobytes()

    tensor = request["inputs"][0]
    del tensor["data"]
    tensor["parameters"] = {"binary_data_size": inputs.nbytes}
    head = json.dumps({**request, "parameters": {"binary_data_output": True}}).encode()
    (tmp_path / "request").write_bytes(head + inputs.tobytes())
    header = f"Inference-Header-Content-Length: {len(head)}"
    command = ["curl", "--silent", "--fail", url, "--header", header, "--include"]
    command += ["--data-binary", f"@{tmp_path / 'request'}"]
    answer = subprocess.run(command, capture_output=True, check=True).stdout
    lines, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines.splitlines()[1:])
    result = triton.InferenceServerClient.parse_response_body(
        body, header_length=int(fields[b"inference-header-content-length"])
    )
    assert result.as_numpy("probabilities").tobytes() == expected.tobytes()


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
def test_json_data_may_be_nested_or_flat(
    nested: bool, predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 3)
    response = predictor.client.post(INFER, json=as_json(inputs, nested=nested)).json()
    outputs = outputs_of(response)
    expected = teacher.probabilities(inputs, 0)
    assert floats(outputs["probabilities"], (3, 2)).tobytes() == expected.tobytes()
    assert outputs["label"] == expected.argmax(1).tolist()


def test_a_response_names_model_version_and_what_each_output_is(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 2)
    labels = teacher.probabilities(inputs, 0).argmax(1).tolist()
    response = predictor.client.post(INFER, json=as_json(inputs, id="42")).json()
    probabilities = response["outputs"].pop(0)
    assert probabilities.keys() == {"name", "datatype", "shape", "data"}
    assert probabilities["datatype"] == "FP32"
    assert probabilities["shape"] == [2, 2]
    classes = [("zero", "one")[label] for label in labels]
    assert response == {
        "model_name": FIRST,
        "model_version": "1.3",
        "id": "42",
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [2], "data": labels},
            {"name": "class", "datatype": "BYTES", "shape": [2], "data": classes},
            {"name": "task", "datatype": "BYTES", "shape": [2], "data": ["digits-0-1"] * 2},
        ],
    }


def test_a_class_that_has_no_name_is_empty(predictor: Running, teacher: Teacher) -> None:
    with client_of(predictor) as client:
        result = client.infer(SECOND, [tensor_of(random_inputs(teacher.model, 2))])
    assert texts(result, "class") == ["", ""]


def test_outputs_come_as_they_are_asked_for_and_in_that_order(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 2)
    with client_of(predictor) as client:
        outputs = requested("class", binary=True) + requested("label", binary=False)
        result = client.infer(FIRST, [tensor_of(inputs)], outputs=outputs, request_id="17")
        response = result.get_response()
        every = client.infer(FIRST, [tensor_of(inputs)]).get_response()
    assert response["id"] == "17"
    assert [output["name"] for output in response["outputs"]] == ["class", "label"]
    assert "binary_data_size" in response["outputs"][0]["parameters"]
    assert "data" in response["outputs"][1]
    labels = teacher.probabilities(inputs, 0).argmax(1).tolist()
    assert texts(result, "class") == [("zero", "one")[label] for label in labels]
    assert result.as_numpy("label").tolist() == labels
    names = ["probabilities", "label", "class", "task"]
    assert [output["name"] for output in every["outputs"]] == names
    assert all("binary_data_size" in output["parameters"] for output in every["outputs"])


def test_one_outputs_own_binary_data_counts_more_than_that_of_all(
    predictor: Running, teacher: Teacher
) -> None:
    request = as_json(
        random_inputs(teacher.model, 1),
        parameters={"binary_data_output": True},
        outputs=[{"name": "label", "parameters": {"binary_data": False}}],
    )
    response = predictor.client.post(INFER, json=request)
    assert response.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in response.headers
    assert outputs_of(response.json()).keys() == {"label"}


def test_the_task_may_be_a_parameter(predictor: Running, teacher: Teacher) -> None:
    inputs = random_inputs(teacher.model, 2)
    with client_of(predictor) as client:
        for head, task in enumerate(("digits-0-1", "digits-2-3")):
            result = client.infer(BASE, [tensor_of(inputs)], parameters={"task": task})
            expected = teacher.probabilities(inputs, head)
            assert result.as_numpy("probabilities").tobytes() == expected.tobytes()
            assert texts(result, "task") == [task, task]
        active = client.infer(BASE, [tensor_of(inputs)], parameters={"choose": "active"})
        assert texts(active, "task") == ["digits-2-3", "digits-2-3"]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_without_a_task_each_input_has_its_own(
    binary: bool, choosable: tuple[Teacher, Running]
) -> None:
    teacher, predictor = choosable
    inputs = np.concatenate(
        [random_inputs(teacher.model, 20), random_inputs(teacher.model, 20) // 2]
    )
    chosen = library(teacher).choose(inputs)
    tasks = [task.name for task in chosen.tasks]
    assert len(set(tasks)) == 2
    plain = predictor.client.post("/predict", json={"inputs": inputs.tolist()}).json()
    with client_of(predictor) as client:
        names = ("probabilities", "label", "task", "task_probability", "class")
        result = client.infer(
            BASE,
            [tensor_of(inputs, binary=binary)],
            outputs=requested(*names, binary=binary),
        )
    assert texts(result, "task") == tasks
    assert result.as_numpy("task_probability").tobytes() == chosen.task_probability_B.tobytes()
    expected = np.stack(chosen.probabilities)
    assert result.as_numpy("probabilities").tobytes() == expected.tobytes()
    assert result.as_numpy("label").tolist() == [p["label"] for p in plain["predictions"]]
    assert texts(result, "class") == [p["class"] or "" for p in plain["predictions"]]


def test_heads_with_fewer_labels_are_filled_up_with_0(tmp_path: Path) -> None:
    model = model_options(labels="open", outputs=0, max_classes=8)
    teacher = Teacher(tmp_path, model)
    generator = np.random.default_rng(0)
    for head, labels in ((0, 2), (1, 5)):
        teacher.learner.learn(
            torch.from_numpy(random_inputs(model, 20, head)),
            torch.from_numpy(
                np.concatenate([np.arange(labels), generator.integers(0, labels, 20 - labels)])
            ),
            head,
        )
    teacher.publish_choosable()
    inputs = np.concatenate([random_inputs(model, 20), random_inputs(model, 20) // 2])
    chosen = library(teacher).choose(inputs)
    assert {len(row) for row in chosen.probabilities} == {2, 5}
    with serving(tmp_path) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        result = client.infer(BASE, [tensor_of(inputs)])
        shape = client.get_model_metadata(BASE)["outputs"][0]["shape"]
    assert shape == [-1, -1]
    probabilities = result.as_numpy("probabilities")
    assert probabilities.shape == (40, 5)
    for row, expected in zip(probabilities, chosen.probabilities, strict=True):
        assert row[: len(expected)].tobytes() == expected.tobytes()
        assert not row[len(expected) :].any()


@pytest.mark.parametrize("name", ["Zahlen 0/1 & ünïcode=%41+\"'", "a/versions/1.3", "x/infer"])
def test_a_task_of_any_name_is_a_model(name: str, tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    first, second = teacher.snapshot().manifest.tasks
    teacher.publish(tasks=[first.model_copy(update={"name": name}), second])
    inputs = random_inputs(teacher.model, 2)
    expected = teacher.probabilities(inputs, 0).tobytes()
    model = f"si-stream/{name}"
    with serving(tmp_path) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        for version in ("", "1.3"):
            result = client.infer(model, [tensor_of(inputs)], version)
            assert result.as_numpy("probabilities").tobytes() == expected
            assert texts(result, "task") == [name, name]
            assert result.get_response()["model_name"] == model
            assert client.is_model_ready(model, version)
            assert client.get_model_metadata(model, version)["name"] == model


def test_many_requests_at_a_time_each_get_their_own_answer(
    predictor: Running, teacher: Teacher
) -> None:
    many = [random_inputs(teacher.model, 1 + seed % 3, seed) for seed in range(48)]
    with client_of(predictor, concurrency=16) as client:
        handles = [
            client.async_infer(FIRST, [tensor_of(inputs)], request_id=str(number))
            for number, inputs in enumerate(many)
        ]
        results = [handle.get_result() for handle in handles]
    for number, (inputs, result) in enumerate(zip(many, results, strict=True)):
        assert result.get_response()["id"] == str(number)
        expected = teacher.probabilities(inputs, 0)
        assert result.as_numpy("probabilities").tobytes() == expected.tobytes()


def test_a_large_tensor_is_answered_by_the_worker_and_counted_the_same(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish()
    inputs = random_inputs(teacher.model, 4096)
    with serving(tmp_path) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        for binary in (True, False):
            result = client.infer(
                FIRST,
                [tensor_of(inputs, binary=binary)],
                outputs=requested("probabilities", binary=binary),
            )
            expected = teacher.probabilities(inputs, 0)
            assert result.as_numpy("probabilities").tobytes() == expected.tobytes()
        text = predictor.client.get("/metrics").text
    assert 'si_stream_predictions_total{task="digits-0-1"} 8192.0' in text
    counted = 'si_stream_http_requests_total{route="/v2/models/{model}/infer",status="200"} 2.0'
    assert counted in text


def test_a_content_type_is_not_needed(predictor: Running, teacher: Teacher) -> None:
    content = json.dumps(as_json(random_inputs(teacher.model, 1))).encode()
    for headers in ({}, JSON, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert predictor.client.post(INFER, content=content, headers=headers).status_code == 200
