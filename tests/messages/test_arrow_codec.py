from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from si_stream.errors import MessageError, Reason
from si_stream.messages.arrow_codec import MAX_SCHEMA_BYTES, decode_samples, encode_samples
from si_stream.messages.kinds import Samples, SampleSchema

SCHEMA = SampleSchema(input_shape=(2, 3), dtype="uint8", outputs=4)
ROWS = 7
INPUTS = np.arange(ROWS * 6, dtype=np.uint8).reshape(ROWS, 2, 3)
LABELS = np.arange(ROWS) % 4
VALID = encode_samples(Samples(INPUTS, LABELS, "0/1", "holdout", ("a", "b")))
TENSOR = pa.fixed_shape_tensor(pa.uint8(), (2, 3))


def refused(value: bytes, match: str, reason: Reason = Reason.UNDECODABLE) -> None:
    with pytest.raises(MessageError, match=match) as caught:
        decode_samples(value, SCHEMA)
    assert caught.value.reason is reason


def tensor_column(tensor: pa.DataType = TENSOR, values: Any = None) -> pa.Array:
    values = pa.array(INPUTS.reshape(-1)) if values is None else values
    storage = pa.FixedSizeListArray.from_arrays(values, tensor.storage_type.list_size)
    return pa.ExtensionArray.from_storage(tensor, storage)


def stream(
    columns: dict[str, pa.Array],
    *,
    metadata: dict[str, Any] | None = None,
    batches: int = 1,
    compression: str | None = None,
) -> bytes:
    batch = pa.RecordBatch.from_pydict(columns).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def samples_stream(**options: Any) -> bytes:
    return stream({"input": tensor_column(), "label": pa.array(LABELS)}, **options)


def test_inputs_and_labels_are_views_of_the_messages_bytes() -> None:
    samples = decode_samples(VALID, SCHEMA)
    whole = np.frombuffer(VALID, np.uint8)
    for array in (samples.inputs, samples.labels):
        assert np.shares_memory(array, whole)
        assert not array.flags.writeable


@pytest.mark.parametrize("shift", range(9))
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_bytes_shifted_in_memory_give_the_same_samples_aligned(shift: int, dtype: Any) -> None:
    value = encode_samples(Samples(INPUTS.astype(dtype), LABELS))
    shifted = memoryview(b"\0" * shift + value)[shift:]
    samples = decode_samples(shifted, SampleSchema((2, 3), dtype, 4))
    np.testing.assert_array_equal(samples.inputs, INPUTS.astype(dtype), strict=True)
    np.testing.assert_array_equal(samples.labels, LABELS, strict=True)
    assert samples.inputs.flags.aligned
    assert samples.labels.flags.aligned


def test_other_producers_streams_are_read_with_columns_in_any_order_and_their_own_metadata() -> (
    None
):
    columns = {"label": pa.array(LABELS), "input": tensor_column()}
    samples = decode_samples(stream(columns, metadata={"producer": "other"}), SCHEMA)
    np.testing.assert_array_equal(samples.inputs, INPUTS, strict=True)
    assert (samples.task, samples.role, samples.classes) == (None, "train", None)


@pytest.mark.parametrize("size", range(0, len(VALID) - 8, 8))
def test_a_truncated_arrow_message_is_undecodable(size: int) -> None:
    # The last 8 bytes only say that nothing follows: Arrow does not ask for them.
    refused(VALID[:size], "not an Arrow stream of samples")


@pytest.mark.parametrize("value", [b"", b"x", b"\xff" * 100, bytes(100), b'{"labels": [0]}' * 9])
def test_bytes_that_are_no_arrow_stream_are_undecodable(value: bytes) -> None:
    refused(value, "not an Arrow stream of samples")


def test_other_columns_are_undecodable_and_named() -> None:
    labels, inputs = pa.array(LABELS), tensor_column()
    refused(stream({"x": inputs, "y": labels}), r"its columns are \['x', 'y'\]")
    refused(stream({"input": inputs}), r"its columns are \['input'\]")
    refused(stream({"input": inputs, "label": labels, "w": labels}), r"'w'\], they must be")
    listed = pa.FixedSizeListArray.from_arrays(pa.array(INPUTS.reshape(-1)), 6)
    refused(stream({"input": listed, "label": labels}), "not arrow.fixed_shape_tensor")


def test_other_types_and_shapes_are_refused_as_such() -> None:
    labels = pa.array(LABELS)
    wide = tensor_column(
        pa.fixed_shape_tensor(pa.int64(), (2, 3)), pa.array(INPUTS.reshape(-1), pa.int64())
    )
    refused(
        stream({"input": wide, "label": labels}),
        "inputs are int64, the model takes uint8",
        Reason.WRONG_DTYPE,
    )
    flat = tensor_column(pa.fixed_shape_tensor(pa.uint8(), (6,)))
    refused(
        stream({"input": flat, "label": labels}),
        r"inputs have shape \[6\], the model takes \[2, 3\]",
        Reason.WRONG_SHAPE,
    )
    turned = tensor_column(pa.fixed_shape_tensor(pa.uint8(), (2, 3), permutation=[1, 0]))
    refused(stream({"input": turned, "label": labels}), "axes permuted")
    for kind in (pa.int32(), pa.float64(), pa.string()):
        column = labels.cast(kind)
        refused(
            stream({"input": tensor_column(), "label": column}), "labels are", Reason.WRONG_DTYPE
        )
    coded = labels.dictionary_encode()
    refused(stream({"input": tensor_column(), "label": coded}), "dictionary")


def test_nulls_are_undecodable() -> None:
    labels = pa.array([None, *LABELS[1:]], pa.int64())
    refused(stream({"input": tensor_column(), "label": labels}), "column label holds nulls")
    values = pa.array([None, *INPUTS.reshape(-1)[1:]], pa.uint8())
    inputs = tensor_column(values=values)
    refused(stream({"input": inputs, "label": pa.array(LABELS)}), "column input holds nulls")


def test_a_message_holds_exactly_one_record_batch_with_rows() -> None:
    refused(samples_stream(batches=0), "holds nothing where its record batch should be")
    refused(samples_stream(batches=2), "more than one record batch")
    empty = {"input": tensor_column(values=pa.array([], pa.uint8())), "label": pa.array([], "i8")}
    refused(stream(empty), "it has 0 rows; a message holds at least 1")


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"role": "test"}, "train or holdout, not 'test'"),
        ({"task": ""}, "task must not be empty"),
        ({"task": "x" * 129}, "task has 129 characters, the limit is 128"),
        ({"task": b"\xff"}, "utf-8"),
        ({"classes": "a,b"}, "not JSON"),
        ({"classes": '{"0": "a"}'}, "classes must be a list"),
        ({"classes": "[" * 9000}, "nested too deeply"),
    ],
)
def test_metadata_that_cannot_be_read_is_undecodable(metadata: dict[str, Any], match: str) -> None:
    refused(samples_stream(metadata=metadata), match)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_bodies_are_refused_before_they_are_unpacked(compression: str) -> None:
    rows = 1_000_000
    bomb = stream(
        {
            "input": tensor_column(values=pa.array(np.zeros(rows * 6, np.uint8))),
            "label": pa.array(np.zeros(rows, np.int64)),
        },
        compression=compression,
    )
    assert len(bomb) < 100_000
    before = pa.total_allocated_bytes()
    refused(bomb, "its body is compressed")
    assert pa.total_allocated_bytes() - before < len(bomb)


def test_a_schema_that_would_use_up_the_stack_is_refused_before_it_is_read() -> None:
    field = pa.field(
        "input",
        TENSOR.storage_type,
        metadata={
            "ARROW:extension:name": "arrow.fixed_shape_tensor",
            "ARROW:extension:metadata": "[" * 3_000_000,
        },
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([field])):
        pass
    refused(bytes(sink.getvalue()), f"bytes, the limit is {MAX_SCHEMA_BYTES}")


def test_class_names_by_the_thousand_fit_into_the_schema() -> None:
    classes = tuple(f"class number {label} of 1000" for label in range(1000))
    value = encode_samples(Samples(INPUTS, LABELS, classes=classes))
    assert decode_samples(value, SCHEMA).classes == classes


def test_big_endian_numbers_are_refused() -> None:
    value = bytearray(VALID)
    # Continuation and length, 8 bytes, stand before the flatbuffer: Message, in it Schema.
    message = 8 + struct.unpack_from("<I", value, 8)[0]
    message_vtable = message - struct.unpack_from("<i", value, message)[0]
    header = message + struct.unpack_from("<H", value, message_vtable + 8)[0]
    schema = header + struct.unpack_from("<I", value, header)[0]
    schema_vtable = schema - struct.unpack_from("<i", value, schema)[0]
    # The endianness, left out as it is little, is made to lie where a field that is not 0 does.
    struct.pack_into("<H", value, schema_vtable + 4, 4)
    refused(bytes(value), "big-endian")


def patched(value: bytes, old: bytes, new: bytes) -> bytes:
    assert old in value
    return value.replace(old, new)


@pytest.mark.parametrize("rows", [8, 1_000, 2**40, 2**62, -1])
def test_row_counts_beyond_the_bytes_are_refused(rows: int) -> None:
    value = samples_stream()
    for count, claimed in ((ROWS, rows), (ROWS * 6, min(rows * 6, 2**63 - 1))):
        nodes = struct.pack("<qq", count, 0)
        value = patched(value, nodes, struct.pack("<qq", claimed, 0))
    value = patched(value, struct.pack("<q", ROWS), struct.pack("<q", rows))
    refused(value, "not an Arrow stream of samples")


@pytest.mark.parametrize("count", [10**7, 2**40, 2**62])
@pytest.mark.parametrize("column", ["input", "label"])
def test_nulls_to_be_counted_outside_the_bytes_are_not_counted(count: int, column: str) -> None:
    labels = pa.array([None, *LABELS[1:]], pa.int64())
    inputs = tensor_column(values=pa.array([None, *INPUTS.reshape(-1)[1:]], pa.uint8()))
    value = stream({"input": inputs, "label": labels})
    # -1: "count them yourself". Arrow does, over as many bits as the message says there are.
    length = {"input": ROWS * 6, "label": ROWS}[column]
    value = patched(value, struct.pack("<qq", length, 1), struct.pack("<qq", count, -1))
    refused(value, "not an Arrow stream of samples")


EXTREMES = [0, 1, -1, 8, 64, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63)]
SOURCES = [
    VALID,
    encode_samples(Samples(INPUTS[:1], LABELS[:1])),
    samples_stream(compression="zstd"),
    stream(
        {
            "input": tensor_column(values=pa.array([None, *INPUTS.reshape(-1)[1:]], pa.uint8())),
            "label": pa.array([None, *LABELS[1:]], pa.int64()),
        }
    ),
    stream({"input": tensor_column(), "label": pa.array(LABELS).dictionary_encode()}),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    value = bytearray(draw(st.sampled_from(SOURCES)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(value)))
        match draw(st.sampled_from(["flip", "word", "long", "cut", "delete", "insert"])):
            case "flip" if place < len(value):
                value[place] ^= 1 << draw(st.integers(0, 7))
            case "word":
                number = draw(st.sampled_from(EXTREMES)) % 2**32
                value[place & ~3 : (place & ~3) + 4] = struct.pack("<I", number)
            case "long":
                number = draw(st.sampled_from(EXTREMES))
                value[place & ~7 : (place & ~7) + 8] = struct.pack("<q", number)
            case "cut":
                del value[place:]
            case "delete":
                del value[place : place + draw(st.integers(1, 16))]
            case "insert":
                value[place:place] = draw(st.binary(min_size=1, max_size=16))
    return bytes(value)


@settings(deadline=None, max_examples=1000)
@given(value=mutated())
def test_whatever_happened_to_the_bytes_they_are_samples_or_a_message_error(value: bytes) -> None:
    try:
        samples = decode_samples(value, SCHEMA)
    except MessageError:
        return
    assert samples.inputs.shape == (len(samples), 2, 3)
    assert samples.inputs.nbytes + samples.labels.nbytes <= len(value)
    # Reads every byte: outside the message it would be a crash sooner or later.
    assert samples.inputs.sum() >= 0
    assert samples.labels.dtype == np.int64
