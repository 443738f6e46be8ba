"""Messages as JSON, for a person with a command-line producer.

Invariant: what is read is exactly one JSON value with known members, none of them twice,
and no number is rounded or wrapped to fit the model's dtype.

``NaN`` and ``Infinity`` are not JSON, but many producers write them. They are read, so that
such a row is refused as ``not_finite`` and its neighbours are learned from.
"""

from __future__ import annotations

import json
import reprlib
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from si_stream.errors import MessageError, Reason
from si_stream.messages.fields import check_classes, check_role, check_task
from si_stream.messages.kinds import Samples, SampleSchema

SAMPLES_MEMBERS = frozenset({"task", "role", "classes", "labels", "inputs"})


def encode_value(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode_samples(samples: Samples) -> bytes:
    """Raises ValueError where an input is not finite: JSON has no word for it."""
    members: dict[str, object] = {} if samples.task is None else {"task": samples.task}
    members["role"] = samples.role
    if samples.classes is not None:
        members["classes"] = samples.classes
    members["labels"] = samples.labels.tolist()
    members["inputs"] = samples.inputs.tolist()
    return encode_value(members)


def decode_value(value: bytes | memoryview) -> Any:
    """The one JSON value that the bytes hold.

    Raises:
        MessageError: ``undecodable``.
    """
    try:
        return json.loads(str(value, "utf-8"), object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise MessageError(Reason.UNDECODABLE, "the JSON is nested too deeply") from None
    except ValueError as error:
        raise MessageError(Reason.UNDECODABLE, f"this is not JSON in UTF-8: {error}") from None


def decode_object(value: bytes | memoryview, known: frozenset[str]) -> dict[str, Any]:
    """The one JSON object that the bytes hold, with no other members than the known ones.

    Raises:
        MessageError: ``undecodable``.
    """
    members = decode_value(value)
    if not isinstance(members, dict):
        problem = f"the JSON must be an object, not {type(members).__name__}"
        raise MessageError(Reason.UNDECODABLE, problem)
    if unknown := members.keys() - known:
        problem = f"member {reprlib.repr(min(unknown))} is unknown; known: {sorted(known)}"
        raise MessageError(Reason.UNDECODABLE, problem)
    return members


def decode_samples(value: bytes | memoryview, schema: SampleSchema) -> Samples:
    """The samples, of the schema's shape and dtype. Raises as `codecs.decode` does."""
    members = decode_object(value, SAMPLES_MEMBERS)
    labels = _labels(members.get("labels"))
    return Samples(
        inputs=_inputs(members.get("inputs"), len(labels), schema),
        labels=labels,
        task=check_task("task", members.get("task")),
        role=check_role(members.get("role", "train")),
        classes=check_classes(members.get("classes")),
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MessageError(Reason.UNDECODABLE, "a JSON object holds the same member twice")
    return members


def _labels(labels: object) -> npt.NDArray[np.int64]:
    if not isinstance(labels, list):
        raise MessageError(Reason.UNDECODABLE, "samples need a member labels: a list of integers")
    if not labels:
        raise MessageError(Reason.UNDECODABLE, "there are 0 labels; a message holds at least 1")
    if set(map(type, labels)) == {int}:
        try:
            return np.array(labels, np.int64)
        except OverflowError:
            pass
    raise MessageError(Reason.WRONG_DTYPE, "labels must be integers that fit into 64 bits")


def _inputs(inputs: object, rows: int, schema: SampleSchema) -> npt.NDArray[Any]:
    if not isinstance(inputs, list):
        raise MessageError(Reason.UNDECODABLE, "samples need a member inputs: a list of inputs")
    if len(inputs) != rows:
        problem = f"there are {len(inputs)} inputs for {rows} labels; each label needs one input"
        raise MessageError(Reason.UNDECODABLE, problem)
    shape = list(schema.input_shape)
    level = inputs
    for axis, size in enumerate(shape):
        if any(type(item) is not list or len(item) != size for item in level):
            problem = f"each input must be lists of shape {shape}; axis {axis} is not always {size}"
            raise MessageError(Reason.WRONG_SHAPE, problem)
        level = list(chain.from_iterable(level))
    types = set(map(type, level))
    if list in types:
        raise MessageError(Reason.WRONG_SHAPE, f"inputs are nested deeper than their shape {shape}")
    numbers = _uint8(level, types) if schema.dtype == "uint8" else _float32(level, types)
    return numbers.reshape(rows, *shape)


def _uint8(level: list[Any], types: set[type]) -> npt.NDArray[np.uint8]:
    if types != {int} or min(level) < 0 or max(level) > 255:
        problem = "the model takes uint8: every number in inputs must be an integer from 0 to 255"
        raise MessageError(Reason.WRONG_DTYPE, problem)
    return np.array(level, np.uint8)


def _float32(level: list[Any], types: set[type]) -> npt.NDArray[np.float32]:
    if types <= {int, float}:
        try:
            with np.errstate(over="ignore"):  # 1e300 becomes infinite, and its row is refused
                return np.array(level, np.float64).astype(np.float32)
        except OverflowError:
            pass
    problem = "the model takes float32: inputs must be numbers that fit into it"
    raise MessageError(Reason.WRONG_DTYPE, problem)
