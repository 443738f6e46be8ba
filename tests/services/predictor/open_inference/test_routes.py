"""What a client of the Open Inference Protocol can ask before it asks for an inference."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from tritonclient.utils import InferenceServerException

from services.predictor.open_inference import schemas
from tests.services.predictor.open_inference.asking import as_json, client_of, tensor_of
from tests.services.predictor.serving import Running, Teacher, random_inputs, serving, wait_for

BASE, FIRST = "si-stream", "si-stream/digits-0-1"


def test_the_server_says_what_it_is(predictor: Running) -> None:
    with client_of(predictor) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata() == {
            "name": "si-stream",
            "version": version("si-stream"),
            "extensions": ["binary_tensor_data"],
        }
    assert predictor.client.get("/v2/").json() == predictor.client.get("/v2").json()


def test_a_task_is_a_model_with_inputs_outputs_and_the_snapshot_as_its_version(
    predictor: Running,
) -> None:
    with client_of(predictor) as client:
        assert client.get_model_metadata(FIRST) == {
            "name": FIRST,
            "versions": ["1.3"],
            "platform": "si-stream",
            "inputs": [{"name": "input", "datatype": "UINT8", "shape": [-1, 4]}],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
                {"name": "label", "datatype": "INT64", "shape": [-1]},
                {"name": "class", "datatype": "BYTES", "shape": [-1]},
                {"name": "task", "datatype": "BYTES", "shape": [-1]},
            ],
        }
        assert client.get_model_metadata(BASE)["name"] == BASE
        assert client.is_model_ready(FIRST, "1.3")


def test_every_output_of_the_metadata_is_in_a_response(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish_choosable()
    inputs = random_inputs(teacher.model, 3)
    with serving(tmp_path) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        for model in (BASE, FIRST):
            metadata = client.get_model_metadata(model)
            given = client.infer(model, [tensor_of(inputs)]).get_response()["outputs"]
            assert kinds_of(given) == kinds_of(metadata["outputs"])


def kinds_of(outputs: list[dict[str, Any]]) -> dict[str, tuple[str, int]]:
    return {output["name"]: (output["datatype"], len(output["shape"])) for output in outputs}


@pytest.mark.parametrize("model", ["mnist", "si-stream/cats", "si-stream/", "digits-0-1", "si"])
def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(
    model: str, predictor: Running, teacher: Teacher
) -> None:
    with client_of(predictor) as client:
        assert not client.is_model_ready(model)
        with pytest.raises(InferenceServerException, match="si-stream/digits-2-3") as caught:
            client.get_model_metadata(model)
        assert caught.value.status() == "404"
        with pytest.raises(InferenceServerException, match="si-stream/digits-2-3") as caught:
            client.infer(model, [tensor_of(random_inputs(teacher.model, 1))])
        assert caught.value.status() == "404"


def test_the_snapshot_that_is_served_is_the_only_version(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish()
    inputs = random_inputs(teacher.model, 2)
    tensor = [tensor_of(inputs)]
    with serving(tmp_path) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        assert client.infer(FIRST, tensor, "1.3").get_response()["model_version"] == "1.3"
        for wrong in ("1.2", "1.4", "2.3", "1", "x", "1.3.0", "01.3"):
            assert not client.is_model_ready(FIRST, wrong)
            with pytest.raises(InferenceServerException, match=r"newest snapshot: 1\.3") as caught:
                client.infer(FIRST, tensor, wrong)
            assert caught.value.status() == "404"
        teacher.teach()
        teacher.publish()
        wait_for(lambda: client.is_model_ready(FIRST, "1.6"))
        result = client.infer(FIRST, tensor)
        assert result.get_response()["model_version"] == "1.6"
        assert (
            result.as_numpy("probabilities").tobytes() == teacher.probabilities(inputs, 0).tobytes()
        )
        with pytest.raises(InferenceServerException, match=r"'1\.3'.*newest snapshot: 1\.6"):
            client.infer(FIRST, tensor, "1.3")


def test_before_the_first_snapshot_the_server_is_live_and_nothing_is_ready(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path / "elsewhere")
    with serving(tmp_path / "not there yet") as predictor, client_of(predictor) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready(BASE)
        with pytest.raises(InferenceServerException, match="no snapshot") as caught:
            client.infer(BASE, [tensor_of(random_inputs(teacher.model, 1))])
        assert caught.value.status() == "503"
        response = predictor.client.post(f"/v2/models/{BASE}/infer", json={})
        assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/v2/models/{BASE}/infer", 405),
        ("PUT", f"/v2/models/{BASE}/infer", 405),
        ("POST", f"/v2/models/{BASE}", 405),
        ("POST", "/v2", 405),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/", 404),
        ("POST", "/v2/models//infer", 404),
        ("POST", "/v2/models/infer", 404),
        ("GET", "/v2/repository/index", 404),
    ],
)
def test_a_wrong_address_is_an_error_of_the_protocol(
    method: str, path: str, status: int, predictor: Running
) -> None:
    response = predictor.client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.fixture(scope="module")
def document(predictor: Running) -> dict[str, Any]:
    document: dict[str, Any] = predictor.client.get("/openapi.json").json()
    return document


def test_what_is_answered_is_as_documented(
    predictor: Running, teacher: Teacher, document: dict[str, Any]
) -> None:
    def strictly(model: type[Any], response: httpx.Response) -> None:
        model.model_validate_json(response.content, strict=True)
        undocumented = response.json().keys() - model.model_fields.keys()
        assert not undocumented

    get = predictor.client.get
    strictly(schemas.ServerMetadata, get("/v2"))
    strictly(schemas.ServerLive, get("/v2/health/live"))
    strictly(schemas.ServerReady, get("/v2/health/ready"))
    for address in (f"/v2/models/{FIRST}", f"/v2/models/{FIRST}/versions/1.3"):
        strictly(schemas.ModelMetadata, get(address))
        strictly(schemas.ModelReady, get(f"{address}/ready"))
        request = as_json(random_inputs(teacher.model, 2), id="1", parameters={"timeout": 10**7})
        schemas.InferenceRequest.model_validate(request)
        strictly(schemas.InferenceResponse, predictor.client.post(f"{address}/infer", json=request))
    operation = document["paths"]["/v2/models/{model}/infer"]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        response = predictor.client.post(f"/v2/models/{FIRST}/infer", json=example["value"])
        strictly(schemas.InferenceResponse, response)
