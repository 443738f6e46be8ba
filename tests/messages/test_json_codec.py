from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from si_stream.errors import MessageError, Reason
from si_stream.messages.json_codec import decode_samples, encode_samples
from si_stream.messages.kinds import Samples, SampleSchema

BYTES = SampleSchema(input_shape=(2,), dtype="uint8", outputs=4)
FLOATS = SampleSchema(input_shape=(2,), dtype="float32", outputs=4)


def refused(value: str | bytes, reason: Reason, match: str, schema: SampleSchema = BYTES) -> None:
    with pytest.raises(MessageError, match=match) as caught:
        decode_samples(value.encode() if isinstance(value, str) else value, schema)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("", "not JSON in UTF-8"),
        ("{", "not JSON in UTF-8"),
        (b'{"labels": "\xff"}', "not JSON in UTF-8"),
        ('{"inputs": [[1,2]], "labels": [0]} x', "not JSON in UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"labels": [' + "9" * 5000 + "]}", "not JSON in UTF-8"),
        ("[1]", "must be an object, not list"),
        ("null", "must be an object, not NoneType"),
        ('{"inputs": [[1,2]], "label": [0]}', "member 'label' is unknown; known: .*'labels'"),
        ('{"labels": [0], "labels": [0], "inputs": [[1,2]]}', "the same member twice"),
        ('{"inputs": [[1,2]]}', "need a member labels"),
        ('{"labels": [0]}', "need a member inputs"),
        ('{"inputs": [[1,2]], "labels": 0}', "need a member labels"),
        ('{"inputs": 1, "labels": [0]}', "need a member inputs"),
        ('{"inputs": [], "labels": []}', "0 labels; a message holds at least 1"),
        ('{"inputs": [[1,2]], "labels": [0, 1]}', "1 inputs for 2 labels"),
        ('{"inputs": [[1,2]], "labels": [0], "role": "test"}', "train or holdout, not 'test'"),
        ('{"inputs": [[1,2]], "labels": [0], "role": null}', "train or holdout, not None"),
        ('{"inputs": [[1,2]], "labels": [0], "task": 1}', "task must be text, not int"),
        ('{"inputs": [[1,2]], "labels": [0], "classes": "ab"}', "a list of names, not str"),
        ('{"inputs": [[1,2]], "labels": [0], "classes": [1]}', "class 0 must be text, not int"),
    ],
)
def test_what_is_not_samples_is_undecodable(value: str | bytes, match: str) -> None:
    refused(value, Reason.UNDECODABLE, match)


@pytest.mark.parametrize("inputs", ["[[1]]", "[[1,2,3]]", "[1]", '["ab"]', "[[1,[2]]]", "[{}]"])
@pytest.mark.parametrize("schema", [BYTES, FLOATS])
def test_inputs_of_another_shape_are_refused_as_such(inputs: str, schema: SampleSchema) -> None:
    value = f'{{"inputs": {inputs}, "labels": [0]}}'
    refused(value, Reason.WRONG_SHAPE, r"shape \[2\]", schema)


@pytest.mark.parametrize(
    "number", ["-1", "256", "1.0", "true", "null", '"1"', "NaN", "1e2", "9" * 100]
)
def test_uint8_inputs_must_be_integers_from_0_to_255(number: str) -> None:
    value = f'{{"inputs": [[1,{number}]], "labels": [0]}}'
    refused(value, Reason.WRONG_DTYPE, "integer from 0 to 255")


@pytest.mark.parametrize("number", ["true", "null", '"1"', "{}", "9" * 400])
def test_float32_inputs_must_be_numbers(number: str) -> None:
    value = f'{{"inputs": [[1,{number}]], "labels": [0]}}'
    refused(value, Reason.WRONG_DTYPE, "must be numbers", FLOATS)


@pytest.mark.parametrize("label", ["1.0", "true", "null", '"1"', "NaN", str(2**63), "[0]"])
def test_labels_must_be_integers(label: str) -> None:
    value = f'{{"inputs": [[1,2]], "labels": [{label}]}}'
    refused(value, Reason.WRONG_DTYPE, "labels must be integers")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e39", "9" * 60])
def test_floats_beyond_float32_are_read_as_not_finite_so_that_their_neighbours_count(
    number: str,
) -> None:
    value = f'{{"inputs": [[1,{number}], [3,4]], "labels": [0,1]}}'
    inputs = decode_samples(value.encode(), FLOATS).inputs
    assert not np.isfinite(inputs[0, 1])
    assert inputs[1].tolist() == [3, 4]


def test_integers_are_read_as_floats_by_a_model_of_floats() -> None:
    samples = decode_samples(b'{"inputs": [[1,0.1]], "labels": [0]}', FLOATS)
    np.testing.assert_array_equal(samples.inputs, np.array([[1, 0.1]], np.float32), strict=True)


def test_the_largest_and_smallest_labels_are_read() -> None:
    value = json.dumps({"inputs": [[1, 2], [3, 4]], "labels": [-(2**63), 2**63 - 1]})
    assert decode_samples(value.encode(), BYTES).labels.tolist() == [-(2**63), 2**63 - 1]


def test_inputs_that_are_not_finite_are_not_written_as_json() -> None:
    samples = Samples(np.array([[np.nan, 1]], np.float32), np.array([0]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_samples(samples)


def test_an_error_never_repeats_a_large_value() -> None:
    for value in (f'{{"{"x" * 5000}": 1}}', f'{{"labels": [0], "role": "{"x" * 5000}"}}'):
        with pytest.raises(MessageError) as caught:
            decode_samples(value.encode(), BYTES)
        assert len(str(caught.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)
like_samples = st.dictionaries(
    st.sampled_from(["task", "role", "classes", "labels", "inputs", "x"]),
    json_values | st.lists(st.lists(st.integers(0, 300), min_size=2, max_size=2), max_size=3),
)


@settings(deadline=None)
@given(value=st.binary(max_size=50) | like_samples.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("schema", [BYTES, FLOATS])
def test_whatever_the_bytes_are_they_are_samples_or_a_message_error(
    value: bytes, schema: SampleSchema
) -> None:
    try:
        samples = decode_samples(value, schema)
    except MessageError:
        return
    assert samples.inputs.shape == (len(samples), 2)
    assert samples.inputs.dtype == schema.dtype
