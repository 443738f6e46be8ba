"""Messages to envelopes and back: CloudEvents headers around an Arrow or JSON payload.

Invariant: `decode` returns a message that fits the schema, or raises `MessageError`; no
other exception, whatever the bytes. ``docs/wire-format.md`` is the format's specification.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from si_stream.brokers.interface import Envelope
from si_stream.errors import MessageError, Reason
from si_stream.messages import arrow_codec, json_codec
from si_stream.messages.fields import check_classes, check_name, check_task
from si_stream.messages.kinds import Boundary, End, Message, Samples, SampleSchema

Codec = Literal["arrow", "json"]

SAMPLES_TYPE = "si-stream.samples"
BOUNDARY_TYPE = "si-stream.boundary"
END_TYPE = "si-stream.end"

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"

_SPEC_VERSION = "1.0"


def encode(
    message: Message,
    *,
    source: str,
    event_id: str | None = None,
    codec: Codec = "arrow",
    time_seconds: float | None = None,
) -> Envelope:
    """The message as CloudEvents headers and payload; the same arguments give the same bytes.

    Args:
        message: what to send; samples must be uint8 or float32 with int64 labels.
        source: who sends it, a URI reference such as ``/simulators/split-mnist``.
        event_id: the id of samples. A boundary and an end carry their own.
        codec: how samples are written; a boundary and an end are always JSON.
        time_seconds: Unix time of the event; without it ``ce_time`` is left out.

    Raises:
        MessageError: `decode` would refuse it (a task's name is too long, no rows, …).
        ValueError: samples without ``event_id``, or another event's id than the message's own.

    >>> boundary = Boundary("b-1", next_task="2/3")
    >>> envelope = encode(boundary, source="/me", time_seconds=0)
    >>> envelope.value
    b'{"next_task":"2/3"}'
    >>> envelope.headers["ce_type"], envelope.headers["ce_time"]
    ('si-stream.boundary', '1970-01-01T00:00:00.000000Z')
    >>> schema = SampleSchema(input_shape=(784,), dtype="uint8", outputs=2)
    >>> decode(envelope.headers, envelope.value, schema, max_bytes=1000) == boundary
    True
    """
    if isinstance(message, Samples):
        if event_id is None:
            raise ValueError("samples need an event_id")
        ce_type, content_type = SAMPLES_TYPE, ARROW if codec == "arrow" else JSON
        value = _encode_samples(message, codec)
    else:
        if event_id not in (None, message.event_id):
            raise ValueError(f"event_id {event_id!r} is not the message's {message.event_id!r}")
        event_id, content_type = message.event_id, JSON
        if isinstance(message, Boundary):
            next_task = check_task("next_task", message.next_task)
            ce_type = BOUNDARY_TYPE
            value = json_codec.encode_value({"next_task": next_task} if next_task else {})
        else:
            ce_type, value = END_TYPE, json_codec.encode_value({})
    headers = {
        "ce_id": check_name("event_id", event_id),
        "ce_type": ce_type,
        "ce_source": check_name("source", source),
        "ce_specversion": _SPEC_VERSION,
        "content-type": content_type,
    }
    if time_seconds is not None:
        time = datetime.fromtimestamp(time_seconds, UTC).replace(tzinfo=None)
        headers["ce_time"] = time.isoformat(timespec="microseconds") + "Z"
    return Envelope(headers, value)


def decode(
    headers: Mapping[str, str],
    value: bytes | memoryview,
    schema: SampleSchema,
    max_bytes: int,
) -> Message:
    """The message that headers and payload hold, fit for a model of this schema.

    A payload without headers is read as samples in JSON. Arrow samples are read-only views
    of ``value``. Faults of single rows are found by `validation.rejected_rows`.

    Args:
        headers: CloudEvents headers; unknown ones are ignored.
        value: the payload.
        schema: the shape and dtype that samples must have.
        max_bytes: the largest payload that is looked into.

    Raises:
        MessageError: ``too_large``, ``undecodable``, ``wrong_shape`` or ``wrong_dtype``.
    """
    size_bytes = memoryview(value).nbytes
    if size_bytes > max_bytes:
        problem = f"the message has {size_bytes} bytes, the limit is {max_bytes}: send fewer rows"
        raise MessageError(Reason.TOO_LARGE, problem)
    if headers.get("ce_specversion", _SPEC_VERSION) != _SPEC_VERSION:
        raise _unknown("ce_specversion", headers["ce_specversion"], _SPEC_VERSION)
    ce_type = headers.get("ce_type", SAMPLES_TYPE)
    content_type = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if ce_type == SAMPLES_TYPE:
        return _decode_samples(content_type, value, schema)
    if ce_type not in (BOUNDARY_TYPE, END_TYPE):
        raise _unknown("ce_type", ce_type, f"{SAMPLES_TYPE}, {BOUNDARY_TYPE} or {END_TYPE}")
    if content_type != JSON:
        raise _unknown("content-type", content_type, JSON)
    event_id = check_name("ce_id", headers.get("ce_id", ""))
    if ce_type == END_TYPE:
        json_codec.decode_object(value, known=frozenset())
        return End(event_id)
    members = json_codec.decode_object(value, known=frozenset({"next_task"}))
    return Boundary(event_id, check_task("next_task", members.get("next_task")))


def _encode_samples(samples: Samples, codec: Codec) -> bytes:
    check_task("task", samples.task)
    check_classes(samples.classes)
    rows = len(samples.inputs)
    if samples.labels.shape != (rows,) or rows < 1:
        problem = f"there are {rows} inputs and {samples.labels.shape} labels; give one each, 1 up"
        raise MessageError(Reason.UNDECODABLE, problem)
    if samples.inputs.dtype not in (np.uint8, np.float32) or samples.labels.dtype != np.int64:
        problem = (
            f"inputs are {samples.inputs.dtype} and labels {samples.labels.dtype}; "
            "they must be uint8 or float32, and int64"
        )
        raise MessageError(Reason.WRONG_DTYPE, problem)
    if codec == "arrow":
        return arrow_codec.encode_samples(samples)
    return json_codec.encode_samples(samples)


def _decode_samples(content_type: str, value: bytes | memoryview, schema: SampleSchema) -> Samples:
    if content_type == ARROW:
        samples = arrow_codec.decode_samples(value, schema)
    elif content_type == JSON:
        samples = json_codec.decode_samples(value, schema)
    else:
        raise _unknown("content-type", content_type, f"{ARROW} or {JSON}")
    if samples.classes is not None and len(samples.classes) > schema.outputs:
        count = len(samples.classes)
        problem = f"{count} classes are named, the model has {schema.outputs}{schema.limit}"
        raise MessageError(Reason.UNDECODABLE, problem)
    return samples


def _unknown(header: str, value: str, known: str) -> MessageError:
    problem = f"header {header} is {reprlib.repr(value)}, it must be {known}"
    return MessageError(Reason.UNDECODABLE, problem)
