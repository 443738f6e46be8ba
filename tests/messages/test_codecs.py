from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from si_stream.errors import MessageError, Reason
from si_stream.messages.codecs import ARROW, JSON, Codec, decode, encode
from si_stream.messages.kinds import Boundary, Dtype, End, Message, Role, Samples, SampleSchema

SCHEMA = SampleSchema(input_shape=(2, 3), dtype="uint8", outputs=4)
SAMPLES = Samples(
    inputs=np.arange(18, dtype=np.uint8).reshape(3, 2, 3),
    labels=np.array([0, 3, 1]),
    task="0/1",
    role="holdout",
    classes=("zero", "one"),
)
CODECS: list[Codec] = ["arrow", "json"]
every_codec = pytest.mark.parametrize("codec", CODECS)


def refused(reason: Reason, headers: dict[str, str], value: bytes, match: str) -> None:
    with pytest.raises(MessageError, match=match) as caught:
        decode(headers, value, SCHEMA, max_bytes=10_000)
    assert caught.value.reason is reason


def check_equal(one: Message, other: Message) -> None:
    if not isinstance(one, Samples):
        assert one == other
        return
    assert isinstance(other, Samples)
    np.testing.assert_array_equal(one.inputs, other.inputs, strict=True)
    np.testing.assert_array_equal(one.labels, other.labels, strict=True)
    assert (one.task, one.role, one.classes) == (other.task, other.role, other.classes)


names = st.text(min_size=1, max_size=128).filter(str.isprintable)


@st.composite
def samples_and_schema(draw: st.DrawFn) -> tuple[Samples, SampleSchema]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    dtype: Dtype = draw(st.sampled_from(["uint8", "float32"]))
    role: Role = draw(st.sampled_from(["train", "holdout"]))
    rows = draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    inputs: npt.NDArray[Any] = random.integers(0, 256, (rows, *shape)).astype(dtype)
    if dtype == "float32":
        inputs *= np.float32(10.0 ** draw(st.integers(-40, 35)))
    classes = draw(st.none() | st.lists(names, max_size=7).map(tuple))
    labels = np.array(draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows)))[:rows]
    samples = Samples(inputs, labels, draw(st.none() | names), role, classes)
    return samples, SampleSchema(shape, dtype, outputs=7)


@every_codec
@settings(deadline=None)
@given(given=samples_and_schema())
def test_samples_come_back_as_they_were(codec: Codec, given: tuple[Samples, SampleSchema]) -> None:
    samples, schema = given
    envelope = encode(samples, source="/test", event_id="e", codec=codec)
    decoded = decode(envelope.headers, envelope.value, schema, max_bytes=100_000)
    check_equal(decoded, samples)


@every_codec
def test_the_same_samples_give_the_same_bytes(codec: Codec) -> None:
    one, other = (encode(SAMPLES, source="/test", event_id="e", codec=codec) for _ in range(2))
    assert one == other


@every_codec
def test_samples_that_lie_scattered_in_memory_are_sent_in_order(codec: Codec) -> None:
    scattered = Samples(SAMPLES.inputs[::-1, :, ::-1], SAMPLES.labels[::-1])
    envelope = encode(scattered, source="/test", event_id="e", codec=codec)
    check_equal(decode(envelope.headers, envelope.value, SCHEMA, max_bytes=10_000), scattered)


@pytest.mark.parametrize(
    "message", [Boundary("b-1"), Boundary("b-1", next_task="2/3 ω"), End("e-1")]
)
def test_boundary_and_end_come_back_as_they_were(message: Message) -> None:
    envelope = encode(message, source="/test")
    assert envelope.headers["content-type"] == JSON
    assert decode(envelope.headers, envelope.value, SCHEMA, max_bytes=100) == message


def test_the_headers_are_cloudevents() -> None:
    envelope = encode(SAMPLES, source="/me", event_id="e-7", time_seconds=1_700_000_000.25)
    assert envelope.headers == {
        "ce_id": "e-7",
        "ce_type": "si-stream.samples",
        "ce_source": "/me",
        "ce_specversion": "1.0",
        "ce_time": "2023-11-14T22:13:20.250000Z",
        "content-type": "application/vnd.apache.arrow.stream",
    }
    untimed = encode(End("e-8"), source="/me")
    assert "ce_time" not in untimed.headers
    assert untimed.headers["ce_type"] == "si-stream.end"
    assert untimed.headers["ce_id"] == "e-8"


def test_an_event_id_that_contradicts_the_message_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="samples need an event_id"):
        encode(SAMPLES, source="/me")
    with pytest.raises(ValueError, match="'x' is not the message's 'b-1'"):
        encode(Boundary("b-1"), source="/me", event_id="x")
    assert encode(End("e-1"), source="/me", event_id="e-1").headers["ce_id"] == "e-1"


def test_json_without_any_headers_is_samples() -> None:
    decoded = decode({}, b'{"inputs": [[[1,2,3],[4,5,6]]], "labels": [2]}', SCHEMA, max_bytes=100)
    check_equal(decoded, Samples(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), np.array([2])))


def test_a_boundary_needs_a_type_and_an_id_and_nothing_else() -> None:
    headers = {"ce_type": "si-stream.boundary", "ce_id": "b-1"}
    assert decode(headers, b"{}", SCHEMA, max_bytes=100) == Boundary("b-1")
    refused(Reason.UNDECODABLE, {"ce_type": "si-stream.boundary"}, b"{}", "ce_id must not be empty")
    refused(Reason.UNDECODABLE, {"ce_type": "si-stream.end"}, b"{}", "ce_id must not be empty")


def test_content_types_may_have_parameters_and_capitals() -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    value = b'{"inputs": [[[1,2,3],[4,5,6]]], "labels": [2]}'
    assert isinstance(decode(headers, value, SCHEMA, max_bytes=100), Samples)


@pytest.mark.parametrize(
    ("headers", "match"),
    [
        ({"ce_type": "si-stream.sample"}, "ce_type is 'si-stream.sample', it must be si-stream"),
        ({"ce_type": ""}, "ce_type is ''"),
        ({"content-type": "text/csv"}, "content-type is 'text/csv', it must be application/vnd"),
        ({"content-type": ""}, "content-type is ''"),
        ({"ce_specversion": "0.3"}, r"ce_specversion is '0\.3', it must be 1\.0"),
        (
            {"ce_type": "si-stream.end", "ce_id": "e", "content-type": ARROW},
            "it must be application/json",
        ),
    ],
)
def test_unknown_headers_values_are_undecodable(headers: dict[str, str], match: str) -> None:
    refused(Reason.UNDECODABLE, headers, b"{}", match)


def test_an_unknown_header_is_ignored() -> None:
    headers = {"ce_type": "si-stream.end", "ce_id": "e", "traceparent": "00-1", "ce_time": "noon"}
    assert decode(headers, b"{}", SCHEMA, max_bytes=100) == End("e")


@pytest.mark.parametrize("ce_type", ["si-stream.boundary", "si-stream.end"])
@pytest.mark.parametrize(
    "value", [b"", b"[]", b"null", b"{", b'{"x": 1}', b'{"next_task": 3}', b'{"next_task": ""}']
)
def test_a_boundary_or_end_with_another_body_is_undecodable(ce_type: str, value: bytes) -> None:
    refused(Reason.UNDECODABLE, {"ce_type": ce_type, "ce_id": "e"}, value, ".")


@pytest.mark.parametrize("content_type", [ARROW, JSON])
def test_a_message_over_the_limit_is_not_looked_into(content_type: str) -> None:
    headers = {"content-type": content_type}
    refused(Reason.TOO_LARGE, headers, b"x" * 10_001, "has 10001 bytes, the limit is 10000")
    refused(Reason.UNDECODABLE, headers, b"x" * 10_000, ".")


@every_codec
def test_a_message_just_at_the_limit_is_decoded(codec: Codec) -> None:
    envelope = encode(SAMPLES, source="/test", event_id="e", codec=codec)
    decode(envelope.headers, envelope.value, SCHEMA, max_bytes=len(envelope.value))
    with pytest.raises(MessageError) as caught:
        decode(envelope.headers, envelope.value, SCHEMA, max_bytes=len(envelope.value) - 1)
    assert caught.value.reason is Reason.TOO_LARGE


@every_codec
@pytest.mark.parametrize("shape", [(3, 2), (6,), (2,), (2, 3, 1)])
def test_samples_for_a_model_of_another_shape_are_refused(
    codec: Codec, shape: tuple[int, ...]
) -> None:
    envelope = encode(SAMPLES, source="/test", event_id="e", codec=codec)
    with pytest.raises(MessageError) as caught:
        decode(envelope.headers, envelope.value, SampleSchema(shape, "uint8", 4), max_bytes=10_000)
    assert caught.value.reason is Reason.WRONG_SHAPE


@every_codec
def test_more_classes_than_the_model_has_outputs_are_refused(codec: Codec) -> None:
    five = Samples(SAMPLES.inputs, SAMPLES.labels, classes=tuple("abcde"))
    envelope = encode(five, source="/test", event_id="e", codec=codec)
    refused(Reason.UNDECODABLE, dict(envelope.headers), envelope.value, "5 classes .* model has 4")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("x" * 129, "has 129 characters, the limit is 128"),
        ("", "must not be empty"),
        ("a\nb", r"cannot be printed: 'a\\nb'"),
        ("\x1b[31m", "cannot be printed"),
        ("\ud800", "cannot be printed"),
    ],
)
@every_codec
def test_names_that_cannot_be_shown_are_refused_by_sender_and_receiver(
    codec: Codec, name: str, match: str
) -> None:
    bad: list[Message] = [
        Samples(SAMPLES.inputs, SAMPLES.labels, task=name),
        Samples(SAMPLES.inputs, SAMPLES.labels, classes=("a", name)),
        Boundary(name),
        Boundary("b", next_task=name),
        End(name),
    ]
    for message in bad:
        event_id = "e" if isinstance(message, Samples) else None
        with pytest.raises(MessageError, match=match):
            encode(message, source="/test", event_id=event_id, codec=codec)
    value = json.dumps({"inputs": SAMPLES.inputs.tolist(), "labels": [0, 3, 1], "task": name})
    refused(Reason.UNDECODABLE, {}, value.encode(), match)
    refused(Reason.UNDECODABLE, {"ce_type": "si-stream.end", "ce_id": name}, b"{}", match)


@pytest.mark.parametrize(
    ("inputs", "labels", "reason"),
    [
        (np.zeros((0, 2, 3), np.uint8), np.zeros(0, np.int64), Reason.UNDECODABLE),
        (np.zeros((3, 2, 3), np.uint8), np.zeros(2, np.int64), Reason.UNDECODABLE),
        (np.zeros((3, 2, 3), np.uint8), np.zeros((3, 1), np.int64), Reason.UNDECODABLE),
        (np.zeros((3, 2, 3), np.float64), np.zeros(3, np.int64), Reason.WRONG_DTYPE),
        (np.zeros((3, 2, 3), np.uint8), np.zeros(3, np.int32), Reason.WRONG_DTYPE),
        (np.zeros((3, 2, 3), ">f4"), np.zeros(3, np.int64), Reason.WRONG_DTYPE),
    ],
)
def test_a_sender_is_told_what_no_receiver_would_take(
    inputs: npt.NDArray[Any], labels: npt.NDArray[Any], reason: Reason
) -> None:
    with pytest.raises(MessageError) as caught:
        encode(Samples(inputs, labels), source="/test", event_id="e")
    assert caught.value.reason is reason
