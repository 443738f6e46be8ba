"""What clients of the Open Inference Protocol should not send: an error that says what to do."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from tests.services.predictor.open_inference.asking import (
    as_json,
    client_of,
    requested,
    tensor_of,
)
from tests.services.predictor.serving import Running, Teacher, model_options, random_inputs, serving

MODEL = "si-stream/digits-0-1"
INFER = f"/v2/models/{MODEL}/infer"
INPUTS = np.arange(8, dtype=np.uint8).reshape(2, 4)

Change = Callable[[dict[str, Any]], Any]


def tensor(**changes: Any) -> Change:
    return lambda request: request["inputs"][0].update(changes)


def without(member: str) -> Change:
    return lambda request: request["inputs"][0].pop(member)


def members(**changes: Any) -> Change:
    return lambda request: request.update(changes)


BAD: list[tuple[str, Change, str]] = [
    ("no inputs", members(inputs=None), "a list of one tensor, named 'input', not null"),
    ("inputs that are an object", members(inputs={}), "not an object"),
    ("an empty list of inputs", members(inputs=[]), "not 0 items"),
    ("two inputs", lambda r: r["inputs"].append(r["inputs"][0]), "not 2 items"),
    ("an input that is a number", members(inputs=[3]), "a list of one tensor"),
    ("another name", tensor(name="x"), "tensor 'x' is not known; the model takes 'input'"),
    ("no name", without("name"), "tensor None is not known"),
    ("another datatype", tensor(datatype="FP32"), "'FP32'; the model takes UINT8"),
    ("a datatype in small letters", tensor(datatype="uint8"), "'uint8'; the model takes UINT8"),
    ("no datatype", without("datatype"), "None; the model takes UINT8"),
    ("no shape", without("shape"), "the shape of input is None; the model takes [-1, 4]"),
    ("a flat shape", tensor(shape=[8]), "[8]; the model takes [-1, 4]"),
    ("another shape", tensor(shape=[4, 2]), "[4, 2]; the model takes [-1, 4]"),
    ("a shape of text", tensor(shape=["2", "4"]), "['2', '4']; the model takes [-1, 4]"),
    ("a fraction in a shape", tensor(shape=[2.0, 4]), "[2.0, 4]"),
    ("true in a shape", tensor(shape=[True, 4]), "[True, 4]"),
    ("a shape that is a number", tensor(shape=8), "is 8; the model takes"),
    ("a shape of a thousand", tensor(shape=[1] * 1_000), "...]; the model takes"),
    ("no input in it", tensor(shape=[0, 4], data=[]), "0 inputs; send at least 1"),
    ("a negative size", tensor(shape=[-1, 4]), "0 inputs; send at least 1"),
    ("a shape that says more", tensor(shape=[3, 4]), "a list of 12 numbers, or nested lists"),
    ("nested data for fewer", tensor(shape=[3, 4], data=INPUTS.tolist()), "has 2 inputs, but its"),
    ("no data", without("data"), "must be a list of 8 numbers, or nested lists of shape [2, 4]"),
    ("data that are text", tensor(data="12345678"), "not text"),
    ("data half nested", tensor(data=[[0, 1, 2, 3], 4, 5, 6, 7]), "input[1] must be a list"),
    ("nested data of another shape", tensor(data=[[0] * 2] * 4), "input[0] must be a list of 4"),
    ("256", tensor(data=[0] * 7 + [256]), "input[1][3] is 256; the model takes uint8"),
    ("a fraction", tensor(data=[0.5] + [0] * 7), "input[0][0] is 0.5"),
    ("true", tensor(data=[True] + [0] * 7), "input[0][0] is True"),
    ("text in data", tensor(data=["1"] + [0] * 7), "input[0][0] is '1'"),
    ("null in data", tensor(data=[None] + [0] * 7), "input[0][0] is None"),
    ("a large number", tensor(data=[10**30] + [0] * 7), "input[0][0] is 1e+30"),
    ("an id that is a number", members(id=7), "id must be text, not a number"),
    ("parameters that are a list", members(parameters=[1]), "must be an object, not a list"),
    ("an input's parameters, too", tensor(parameters=3), "input input must be an object"),
    ("a task that is a number", members(parameters={"task": 3}), "task must be text, not a number"),
    ("the other task", members(parameters={"task": "digits-2-3"}), "of another task"),
    ("a way to choose", members(parameters={"choose": "active"}), "leave out choose"),
    ("an unknown way", members(parameters={"choose": "best"}), "'best'; it is one of portrait"),
    ("a negative timeout", members(parameters={"timeout": -1}), "whole number of microseconds"),
    ("a timeout in text", members(parameters={"timeout": "1"}), "whole number of microseconds"),
    ("text for a flag", members(parameters={"binary_data_output": "yes"}), "or false, not text"),
    ("a sequence", members(parameters={"sequence_id": 3}), "sequence_id of the request"),
    ("outputs that are text", members(outputs="label"), "outputs must be a list, not text"),
    ("an unknown output", members(outputs=[{"name": "logits"}]), "'logits' is not known; the"),
    ("an output that is text", members(outputs=["label"]), "output None is not known"),
    ("an output that is a list", members(outputs=[{"name": ["label"]}]), "['label'] is not known"),
    ("an output twice", members(outputs=[{"name": "label"}] * 2), "named twice"),
    ("a choice's", members(outputs=[{"name": "task_probability"}]), "the task is not chosen"),
    ("bytes that are not there", tensor(parameters={"binary_data_size": 8}), "0 bytes follow"),
    ("a size in text", tensor(parameters={"binary_data_size": "8"}), "'8', but a tensor of shape"),
    (
        "shared memory",
        tensor(parameters={"shared_memory_region": "x"}),
        "send and take the tensors in the bodies",
    ),
    (
        "classifications",
        members(outputs=[{"name": "probabilities", "parameters": {"classification": 1}}]),
        "take the outputs probabilities, label and class instead",
    ),
]  # fmt: skip


def the_error(response: Any, status: int = 400) -> str:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    details = response.json()
    assert details["status"] == status
    assert details["type"].startswith("urn:si-stream:problem:")
    assert details["error"] == details["detail"]
    assert len(details["error"]) < 1_000
    error: str = details["error"]
    return error


@pytest.mark.parametrize(("change", "says"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_a_request_that_cannot_be_answered_is_an_error_that_says_why(
    change: Change, says: str, predictor: Running
) -> None:
    request = copy.deepcopy(as_json(INPUTS))
    change(request)
    assert (
        says in the_error(predictor.client.post(INFER, json=request))
        if (len(json.dumps(request)) < 20_000)
        else the_error(predictor.client.post(INFER, json=request), 413)
    )


def binary(request: dict[str, Any], raw: bytes, length: str | None = None) -> dict[str, Any]:
    head = json.dumps(request).encode()
    header = str(len(head)) if length is None else length
    return {"content": head + raw, "headers": {"Inference-Header-Content-Length": header}}


def with_bytes(size: object = 8, **changes: Any) -> dict[str, Any]:
    request = as_json(INPUTS)
    del request["inputs"][0]["data"]
    request["inputs"][0].update({"parameters": {"binary_data_size": size}, **changes})
    return request


LYING = [
    ("fewer bytes than they say", binary(with_bytes(), bytes(7)), "but 7 bytes follow"),
    ("more bytes than they say", binary(with_bytes(), bytes(9)), "but 9 bytes follow"),
    ("a size for another shape", binary(with_bytes(4), bytes(4)), "has 8 bytes"),
    ("a huge size", binary(with_bytes(2**62), bytes(8)), "has 8 bytes"),
    ("a size below zero", binary(with_bytes(-8), bytes(8)), "has 8 bytes"),
    ("data and bytes", binary(with_bytes(data=[0] * 8), bytes(8)), "both data and"),
    ("bytes that nobody speaks of", binary(as_json(INPUTS), bytes(8)), "8 bytes follow the JSON"),
    ("a header beyond the body", binary(with_bytes(), bytes(8), "100000"), "but the body has"),
    ("a header within the JSON", binary(with_bytes(), bytes(8), "20"), "not JSON"),
    ("a header of 0", binary(with_bytes(), bytes(8), "0"), "not JSON"),
    ("a header below 0", binary(with_bytes(), bytes(8), "-1"), "is '-1'"),
    ("a header that is no number", binary(with_bytes(), bytes(8), "x"), "is 'x'"),
    ("a header of digits without end", binary(with_bytes(), bytes(8), "1" * 5000), "is '111"),
    ("a header of other digits", binary(with_bytes(), bytes(8), "\xb2"), "is '\\xb2'"),
    ("no header", {"content": json.dumps(with_bytes()).encode() + bytes(8)}, "not JSON"),
    ("nothing", {"content": b""}, "not JSON"),
    ("a list", {"content": b"[]"}, "must be an object, not a list"),
    ("JSON nested deeply", {"content": b"[" * 10_000}, "not JSON"),
    ("NaN", {"content": b'{"inputs": NaN}'}, "not JSON"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "says"), [lie[1:] for lie in LYING], ids=[lie[0] for lie in LYING]
)
def test_sizes_that_lie_are_found_out(sent: dict[str, Any], says: str, predictor: Running) -> None:
    headers = [(k, v.encode("latin-1")) for k, v in sent.get("headers", {}).items()]
    response = predictor.client.post(INFER, content=sent["content"], headers=headers)
    assert says in the_error(response)


@pytest.mark.parametrize("media_type", ["text/plain", "application/json"])
def test_a_page_elsewhere_is_refused_and_one_from_here_is_answered(
    predictor: Running, media_type: str
) -> None:
    for origin, status in (
        ("http://evil.example", 403),
        (f"{predictor.url}.evil.example", 403),
        ("null", 403),
        ("", 403),
        (predictor.url, 200),
    ):
        headers = {"Content-Type": media_type, "Origin": origin}
        response = predictor.client.post(
            INFER, content=json.dumps(as_json(INPUTS)), headers=headers
        )
        if status == 200:
            assert response.status_code == 200
        else:
            assert f"the header Origin is '{origin}', and this is" in the_error(response, 403)


def test_too_many_inputs_too_large_a_body_and_a_compressed_one_have_their_own_statuses(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 51)
    assert "51 inputs are too many" in the_error(
        predictor.client.post(INFER, json=as_json(inputs)), 413
    )
    assert "the limit is 20000" in the_error(
        predictor.client.post(INFER, content=bytes(20_001)), 413
    )
    zipped = {"Content-Encoding": "gzip"}
    assert "gzip" in the_error(predictor.client.post(INFER, content=b"x", headers=zipped), 415)


def test_tritonclient_raises_these_errors_with_status_and_text(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 2)
    with client_of(predictor) as client:
        for status, says, asked in (
            ("400", "the model takes UINT8", {"inputs": [tensor_of(inputs.astype(np.float32))]}),
            ("400", "'pixels' is not known", {"inputs": [tensor_of(inputs, name="pixels")]}),
            ("400", r"takes \[-1, 4\]", {"inputs": [tensor_of(inputs.reshape(4, 2))]}),
            ("400", "not 2 items", {"inputs": [tensor_of(inputs)] * 2}),
            ("413", "51 inputs", {"inputs": [tensor_of(random_inputs(teacher.model, 51))]}),
            (
                "400",
                "'logits'",
                {"inputs": [tensor_of(inputs)], "outputs": requested("logits", binary=True)},
            ),
            (
                "415",
                "gzip",
                {"inputs": [tensor_of(inputs)], "request_compression_algorithm": "gzip"},
            ),
        ):
            with pytest.raises(InferenceServerException, match=says) as caught:
                client.infer(MODEL, **asked)
            assert caught.value.status() == status
        with pytest.raises(InferenceServerException, match="no task is named") as caught:
            client.infer("si-stream", [tensor_of(inputs)])
        assert caught.value.status() == "404"


def test_parameters_and_members_of_extensions_are_passed_over(
    predictor: Running, teacher: Teacher
) -> None:
    inputs = random_inputs(teacher.model, 1)
    with client_of(predictor) as client:
        client.infer(MODEL, [tensor_of(inputs)], priority=2, parameters={"trace": "yes"})
    request = as_json(inputs, model_name="x", parameters={"headers": {"a": 1}})
    assert predictor.client.post(INFER, json=request).status_code == 200


@pytest.mark.parametrize(("bits", "says"), [("0000c07f", "not a number"), ("000080ff", "infinite")])
def test_floats_must_be_finite_and_stay_so(
    bits: str, says: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    teacher = Teacher(tmp_path_factory.mktemp("floats"), model_options(dtype="float32"))
    teacher.teach()
    teacher.publish()
    inputs = np.frombuffer(bytes(20) + bytes.fromhex(bits) + bytes(8), "<f4").reshape(2, 4)
    large = np.full((1, 4), 3e38, np.float32) * np.array([1, 1, -1, -1], np.float32)
    with serving(teacher.store.epochs.parent) as predictor, client_of(predictor) as client:
        predictor.wait_until_ready()
        with pytest.raises(InferenceServerException, match=rf"input\[1\]\[1\] is {says}"):
            client.infer(MODEL, [tensor_of(inputs)])
        with pytest.raises(InferenceServerException, match="overflows"):
            client.infer(MODEL, [tensor_of(np.concatenate([large, -large]))])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 5)
    | st.sampled_from(["input", "UINT8", "label", "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "task", "timeout"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.dictionaries(
        st.sampled_from(["inputs", "outputs", "parameters", "id"]), VALUES, max_size=2
    ),
    own=st.dictionaries(
        st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), VALUES, max_size=2
    ),
    raw=st.binary(max_size=9),
    length=st.none() | st.integers(0, 300),
)
def test_no_request_makes_the_predictor_fail(
    changes: dict[str, Any],
    own: dict[str, Any],
    raw: bytes,
    length: int | None,
    predictor: Running,
) -> None:
    request = as_json(INPUTS)
    request["inputs"][0].update(own)
    request.update(changes)
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    content = json.dumps(request).encode() + raw
    response = predictor.client.post(INFER, content=content, headers=headers)
    if response.status_code != 200:
        the_error(response)
