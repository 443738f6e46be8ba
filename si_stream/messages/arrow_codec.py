"""Samples as an Arrow IPC stream of one record batch, for speed.

Invariant: whatever the bytes are, decoding reads nothing outside them and allocates no more
than their size. So a compressed body, whose few bytes may claim any size, is refused before
Arrow unpacks it, and arrays are measured against the buffers that are there, never made from
the lengths that the message states.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from si_stream.errors import MessageError, Reason
from si_stream.messages import json_codec
from si_stream.messages.fields import check_classes, check_role, check_task
from si_stream.messages.kinds import Samples, SampleSchema

# Room for some thousand class names. Older Arrows (24 is one) read a tensor's JSON
# metadata by recursion: millions of brackets used up the stack and ended the process.
MAX_SCHEMA_BYTES = 65_536

# Arrow has no exception of its own for all it finds wrong: text that is not UTF-8 is a
# ValueError, a truncated body an OSError, an unknown key a KeyError.
_ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError)


def encode_samples(samples: Samples) -> bytes:
    inputs = np.ascontiguousarray(samples.inputs)
    schema = _arrow_schema(
        str(inputs.dtype), inputs.shape[1:], samples.task, samples.role, samples.classes
    )
    tensor = schema.field("input").type
    rows = pa.FixedSizeListArray.from_arrays(pa.array(inputs.reshape(-1)), type=tensor.storage_type)
    columns = [pa.ExtensionArray.from_storage(tensor, rows), pa.array(samples.labels)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue())


def decode_samples(value: bytes | memoryview, schema: SampleSchema) -> Samples:
    """The samples; ``inputs`` and ``labels`` are read-only views of ``value``, no copies.

    Only where ``value`` lies at an address that the dtype cannot be read from at full speed
    are they copied. Raises as `codecs.decode` does.
    """
    try:
        arrow_schema, batch = _read(value)
        metadata = arrow_schema.metadata or {}
        task = metadata[b"task"].decode() if b"task" in metadata else None
        role = metadata.get(b"role", b"train").decode()
        classes = json_codec.decode_value(metadata.get(b"classes", b"null"))
        return Samples(
            inputs=_inputs(batch, schema),
            labels=_labels(batch),
            task=check_task("task", task),
            role=check_role(role),
            classes=check_classes(classes),
        )
    except _ARROW_ERRORS as error:
        first_line = str(error).partition("\n")[0][:200]
        problem = f"this is not an Arrow stream of samples: {first_line}"
        raise MessageError(Reason.UNDECODABLE, problem) from None


@lru_cache(maxsize=256)
def _arrow_schema(
    dtype: str,
    shape: tuple[int, ...],
    task: str | None,
    role: str,
    classes: tuple[str, ...] | None,
) -> pa.Schema:
    metadata: dict[str, str | bytes] = {} if task is None else {"task": task}
    metadata["role"] = role
    if classes is not None:
        metadata["classes"] = json_codec.encode_value(classes)
    tensor = pa.fixed_shape_tensor(pa.type_for_alias(dtype), shape)
    fields = [pa.field("input", tensor, False), pa.field("label", pa.int64(), False)]
    return pa.schema(fields, metadata=metadata)


def _read(value: bytes | memoryview) -> tuple[pa.Schema, pa.RecordBatch]:
    """The schema and the one record batch, in Arrow's own arrays over the value's bytes."""
    messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(value))
    head = _next(messages, "schema")
    if head.metadata.size > MAX_SCHEMA_BYTES:
        raise _undecodable(
            f"its schema has {head.metadata.size} bytes, the limit is {MAX_SCHEMA_BYTES}"
        )
    if _header_field(head, _SCHEMA_ENDIANNESS, "<h"):
        raise _undecodable("its numbers are big-endian; write them little-endian")
    schema = pa.ipc.read_schema(head)
    if sorted(schema.names) != ["input", "label"]:
        names = [name[:40] for name in schema.names[:8]]
        raise _undecodable(f"its columns are {names}, they must be input and label")
    body = _next(messages, "record batch")
    if _header_field(body, _RECORD_BATCH_COMPRESSION, "<I"):
        raise _undecodable("its body is compressed; write it without compression")
    batch = pa.ipc.read_record_batch(body, schema)
    if batch.num_rows < 1:
        raise _undecodable(f"it has {batch.num_rows} rows; a message holds at least 1")
    if next(messages, None) is not None:
        raise _undecodable("it holds more than one record batch; send each as a message")
    return schema, batch


def _next(messages: pa.ipc.MessageReader, kind: str) -> pa.Message:
    message = next(messages, None)
    if message is None or message.type != kind:
        found = "nothing" if message is None else f"a message of type {message.type}"
        raise _undecodable(f"it holds {found} where its {kind} should be")
    return message


# pyarrow does not tell what these two fields hold, so they are looked up in the message's
# flatbuffer by their numbers in Arrow's format/Message.fbs and Schema.fbs.
_MESSAGE_HEADER = 2
_SCHEMA_ENDIANNESS = 0
_RECORD_BATCH_COMPRESSION = 3


def _header_field(message: pa.Message, field: int, code: str) -> int:
    """The number at a field of the message's header, or 0 where the header leaves it out."""
    metadata = message.metadata.to_pybytes()
    try:
        (root,) = struct.unpack_from("<I", metadata)
        slot = _slot(metadata, root, _MESSAGE_HEADER)
        header = slot + struct.unpack_from("<I", metadata, slot)[0]
        position = _slot(metadata, header, field)
        return int(struct.unpack_from(code, metadata, position)[0]) if position else 0
    except struct.error:
        raise _undecodable("its metadata points outside itself") from None


def _slot(metadata: bytes, table: int, field: int) -> int:
    """Where the field of a flatbuffer's table lies, or 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    (vtable_bytes,) = struct.unpack_from("<H", metadata, vtable)
    entry = 4 + 2 * field
    if entry >= vtable_bytes:
        return 0
    (offset,) = struct.unpack_from("<H", metadata, vtable + entry)
    return table + offset if offset else 0


def _inputs(batch: pa.RecordBatch, schema: SampleSchema) -> npt.NDArray[Any]:
    column = batch.column("input")
    tensor = column.type
    if not isinstance(tensor, pa.FixedShapeTensorType):
        raise _undecodable(f"column input is {str(tensor)[:80]}, not arrow.fixed_shape_tensor")
    axes = list(range(len(tensor.shape)))
    if tensor.permutation not in (None, axes):
        raise _undecodable(f"column input has its axes permuted: {tensor.permutation[:8]}")
    if str(tensor.value_type) != {"uint8": "uint8", "float32": "float"}[schema.dtype]:
        problem = f"inputs are {str(tensor.value_type)[:80]}, the model takes {schema.dtype}"
        raise MessageError(Reason.WRONG_DTYPE, problem)
    if tuple(tensor.shape) != schema.input_shape:
        problem = f"inputs have shape {tensor.shape[:8]}, the model takes {[*schema.input_shape]}"
        raise MessageError(Reason.WRONG_SHAPE, problem)
    shape = (batch.num_rows, *schema.input_shape)
    return _array(column.storage.buffers(), np.dtype(schema.dtype), shape, "input")


def _labels(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    column = batch.column("label")
    if column.type != pa.int64():
        problem = f"labels are {str(column.type)[:80]}, they must be int64"
        raise MessageError(Reason.WRONG_DTYPE, problem)
    return _array(column.buffers(), np.dtype(np.int64), (batch.num_rows,), "label")


def _array(
    buffers: list[pa.Buffer | None], dtype: np.dtype[Any], shape: tuple[int, ...], column: str
) -> npt.NDArray[Any]:
    """The last of a column's buffers, its numbers, as an array; the others mark nulls.

    Arrow drops the mark of a column that says it has no nulls. Where one is left it is not
    asked how many: Arrow would count over a length that the message is free to lie about.
    """
    *nulls, numbers = buffers
    if any(buffer is not None for buffer in nulls):
        raise _undecodable(f"column {column} holds nulls")
    needed = prod(shape) * dtype.itemsize
    present = 0 if numbers is None else numbers.size
    if numbers is None or present < needed:
        raise _undecodable(
            f"column {column} has {present} bytes where its {shape[0]} rows need {needed}"
        )
    array = np.frombuffer(numbers, dtype, prod(shape)).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _undecodable(problem: str) -> MessageError:
    return MessageError(Reason.UNDECODABLE, f"this is not an Arrow stream of samples: {problem}")
