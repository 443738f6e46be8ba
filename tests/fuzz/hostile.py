"""Hostile messages, each with what must become of it, which no code under test has a say in.

Invariant: what is expected follows from how a message was broken. Only where a bit was flipped
anywhere is a decoder asked: Arrow's own reader, and the rules of `docs/wire-format.md` over it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from si_stream.brokers.interface import Envelope
from si_stream.messages.codecs import ARROW, JSON, encode
from si_stream.messages.kinds import Samples, SampleSchema

SCHEMA = SampleSchema(input_shape=(4,), dtype="float32", outputs=3)
MAX_BYTES = 64 * 1024
TASK = "a"
HOSTILE_PER_GOOD = 8
ARROW_HEADERS = {"ce_type": "si-stream.samples", "content-type": ARROW}
JSON_HEADERS = {"ce_type": "si-stream.samples", "content-type": JSON}
END_OF_STREAM_BYTES = 8  # a stream may lack it

Floats = npt.NDArray[np.float32]


class Expected(NamedTuple):
    """A message: the rows that are trained on, and of each letter its row and its reason."""

    envelope: Envelope
    hostile: bool
    inputs: Floats
    labels: npt.NDArray[np.int64]
    letters: tuple[tuple[int | None, str], ...]


def messages(random: Random, hostile: int) -> Iterator[Expected]:
    """So many hostile messages, and a good one after every few of them.

    Those that a flipped bit has left good come beside them.
    """
    yield good(random)  # opens the task, so that all others are wrong
    number = 0
    while number < hostile:
        one = random.choice(WAYS)(random)
        number += one.hostile
        yield one
        if number % HOSTILE_PER_GOOD == 0:
            yield good(random)
    yield good(random)


def good(random: Random) -> Expected:
    inputs, labels = some(random)
    codec = random.choice(["arrow", "json"])
    value = arrow(inputs, labels) if codec == "arrow" else as_json(inputs, labels)
    headers = ARROW_HEADERS if codec == "arrow" else JSON_HEADERS
    return Expected(Envelope(headers, value), False, inputs, labels, ())


def some(random: Random) -> tuple[Floats, npt.NDArray[np.int64]]:
    count = random.randint(1, 12)
    inputs = np.array([[random.randint(-99, 99) for _ in range(4)] for _ in range(count)])
    labels = np.array([random.randrange(SCHEMA.outputs) for _ in range(count)], np.int64)
    return (inputs / 8).astype(np.float32), labels


def arrow(inputs: npt.NDArray[Any], labels: npt.NDArray[np.int64], task: str = TASK) -> bytes:
    return encode(Samples(inputs, labels, task), source="/fuzz", event_id="e").value


def as_json(inputs: object, labels: object, members: Mapping[str, object] = {}) -> bytes:
    """JSON as Python writes it: with NaN and Infinity."""
    given = {"task": TASK, "labels": listed(labels), "inputs": listed(inputs)} | {**members}
    return json.dumps(given).encode()


def listed(values: object) -> object:
    return values.tolist() if isinstance(values, np.ndarray) else values


def refused(headers: dict[str, str], value: bytes, reason: str = "undecodable") -> Expected:
    """Nothing of it is trained on."""
    nothing = np.empty((0, 4), np.float32), np.empty(0, np.int64)
    return Expected(Envelope(headers, value), True, *nothing, ((None, reason),))


SOURCES = ["/fuzz", "", "a\nb", "x" * 1000, "\udcff"]  # nobody checks them


def rows_refused(
    headers: dict[str, str],
    value: bytes,
    rows: tuple[Floats, npt.NDArray[np.int64]],
    bad: dict[int, str],
) -> Expected:
    inputs, labels = np.delete(rows[0], list(bad), axis=0), np.delete(rows[1], list(bad))
    named = headers | {"ce_source": SOURCES[len(value) % len(SOURCES)]}
    return Expected(Envelope(named, value), True, inputs, labels, tuple(sorted(bad.items())))


def random_bytes(random: Random) -> Expected:
    if random.random() < 0.5:
        return refused(ARROW_HEADERS, random.randbytes(random.randint(0, 2000)))
    return refused(JSON_HEADERS, b"\xff" + random.randbytes(random.randint(0, 2000)))


def truncated(random: Random) -> Expected:
    if random.random() < 0.5:
        value = arrow(*some(random))
        return refused(ARROW_HEADERS, value[: random.randrange(len(value) - END_OF_STREAM_BYTES)])
    value = as_json(*some(random))
    return refused(JSON_HEADERS, value[: random.randrange(len(value))])


def json_with_a_high_bit(random: Random) -> Expected:
    """One byte above 127 among ASCII is not UTF-8."""
    value = bytearray(as_json(*some(random)))
    value[random.randrange(len(value))] |= 0x80
    return refused(JSON_HEADERS, bytes(value))


def flipped_label(random: Random) -> Expected:
    """Any bit above the lowest two makes of 0, 1 or 2 something that is out of range."""
    inputs, labels = some(random)
    row, bit = random.randrange(len(labels)), random.randint(2, 63)
    broken = labels.copy().view(np.uint64)
    broken[row] ^= np.uint64(1 << bit)
    value = arrow(inputs, broken.view(np.int64))
    return rows_refused(ARROW_HEADERS, value, (inputs, labels), {row: "label_out_of_range"})


def flipped_anywhere(random: Random) -> Expected:
    while True:
        value = bytearray(arrow(*some(random)))
        # Where the schema says its endianness. Arrow takes numbers that name none, and the format
        # does not say what to make of them.
        endianness = value.index(b"\x0c\x00\x00\x00\x04\x00\x08\x00") + 2
        others = [n for n in range(len(value)) if n not in (endianness, endianness + 1)]
        for place in random.choices(others, k=random.randint(1, 3)):
            value[place] ^= 1 << random.randrange(8)
        if (one := judged(bytes(value))) is not None:
            return one


def judged(value: bytes) -> Expected | None:
    """What Arrow's own reader makes of it, and the rules of the format over that.

    None where the format says nothing: lengths of inner arrays that disagree with their buffers.
    """
    try:
        with pa.ipc.open_stream(value) as stream:
            batches = list(stream)
        (batch,) = batches
    except Exception:  # noqa: BLE001 - whatever it is, Arrow does not read it
        return refused(ARROW_HEADERS, value)
    try:
        batch.validate(full=True)
    except pa.ArrowException:
        return None
    try:
        told = batch.schema.metadata or {}
        classes = json.loads(told.get(b"classes", b"null"))
        columns = sorted(batch.schema.names)
        rows = batch.num_rows
        inputs = batch.column("input").to_numpy_ndarray()
        labels = batch.column("label").to_numpy(zero_copy_only=False)
        task, role = told.get(b"task", TASK.encode()).decode(), told.get(b"role", b"train")
        nulls = batch.column("input").null_count + batch.column("label").null_count
        printable = task.isprintable() and 0 < len(task) <= 128
    except Exception:  # noqa: BLE001 - whatever it is, Arrow does not read it
        return refused(ARROW_HEADERS, value)
    if columns != ["input", "label"] or nulls or rows < 1 or not printable or classes is not None:
        return refused(ARROW_HEADERS, value)
    if role != b"train":
        return refused(ARROW_HEADERS, value)
    if inputs.dtype != np.float32 or labels.dtype != np.int64:
        return refused(ARROW_HEADERS, value, "wrong_dtype")
    if labels.tobytes() not in value:  # Arrow has swapped the bytes of big-endian numbers
        return refused(ARROW_HEADERS, value)
    if inputs.shape[1:] != SCHEMA.input_shape:
        return refused(ARROW_HEADERS, value, "wrong_shape")
    if task != TASK:
        return refused(ARROW_HEADERS, value, "wrong_task")
    bad = {n: "not_finite" for n in range(rows) if not np.isfinite(inputs[n]).all()}
    bad |= {n: "label_out_of_range" for n in range(rows) if not 0 <= labels[n] < SCHEMA.outputs}
    one = rows_refused(ARROW_HEADERS, value, (inputs, labels), bad)
    return one._replace(hostile=bool(bad))


def huge_lengths(random: Random) -> Expected:
    """Any length that the record batch's metadata states, made astronomical."""
    inputs, labels = np.ones((11, 4), np.float32), np.zeros(11, np.int64)
    value = bytearray(arrow(inputs, labels))
    schema_bytes = 8 + struct.unpack_from("<i", value, 4)[0]
    if random.random() < 0.3:
        place = random.choice([4, schema_bytes + 4])
        struct.pack_into("<i", value, place, random.choice([2**31 - 1, -1, -(2**31), 2**30]))
        return refused(ARROW_HEADERS, bytes(value))
    end = schema_bytes + 8 + struct.unpack_from("<i", value, schema_bytes + 4)[0]
    body = bytes(value[schema_bytes:end])
    stated = [11, len(value) - end - END_OF_STREAM_BYTES]  # rows, and the bytes of the body
    wanted = struct.pack("<q", random.choice(stated))
    assert wanted in body
    huge = struct.pack("<q", random.choice([2**40, 2**62, 2**63 - 1, -1, -(2**63)]))
    value[schema_bytes:end] = body.replace(wanted, huge)
    return refused(ARROW_HEADERS, bytes(value))


def nested(random: Random) -> Expected:
    depth = random.choice([1500, 5000, 20_000])
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opening * depth + b"1" + closing * depth
    value = random.choice([deep, b'{"labels": [1], "inputs": ' + deep + b"}"])
    return refused(JSON_HEADERS, value, "too_large" if len(value) > MAX_BYTES else "undecodable")


def not_finite(random: Random) -> Expected:
    inputs, labels = some(random)
    broken, row = inputs.copy(), random.randrange(len(labels))
    broken[row, random.randrange(4)] = random.choice([np.nan, np.inf, -np.inf])
    as_arrow = random.random() < 0.5
    value = arrow(broken, labels) if as_arrow else as_json(broken, labels)
    headers = ARROW_HEADERS if as_arrow else JSON_HEADERS
    return rows_refused(headers, value, (inputs, labels), {row: "not_finite"})


def wrong_label(random: Random) -> Expected:
    inputs, labels = some(random)
    labels_given: list[object] = [
        -1,
        3,
        2**63 - 1,
        -(2**63),
        2**64,
        -(2**200),
        1.0,
        "1",
        True,
        None,
        [],
    ]
    label = random.choice(labels_given)
    given: list[object] = [*labels.tolist()]
    row = random.randrange(len(given))
    given[row] = label
    value = as_json(inputs, given)
    if type(label) is int and -(2**63) <= label < 2**63:
        return rows_refused(JSON_HEADERS, value, (inputs, labels), {row: "label_out_of_range"})
    return refused(JSON_HEADERS, value, "wrong_dtype")


def wrong_shape(random: Random) -> Expected:
    shape = random.choice([(3,), (5,), (2, 2), (1, 4), (4, 1), (2, 1, 2)])
    inputs, labels = np.ones((2, *shape), np.float32), np.zeros(2, np.int64)
    if random.random() < 0.5:
        return refused(ARROW_HEADERS, arrow(inputs, labels), "wrong_shape")
    ragged = random.choice([listed(inputs), [[1, 2, 3, 4], [1, 2, 3]], [[1, 2, 3, 4], 7]])
    return refused(JSON_HEADERS, as_json(ragged, labels), "wrong_shape")


def wrong_dtype(random: Random) -> Expected:
    if random.random() < 0.5:
        value = arrow(np.ones((2, 4), np.uint8), np.zeros(2, np.int64))
        return refused(ARROW_HEADERS, value, "wrong_dtype")
    numbers: list[object] = ["1", True, None, {}, 10**400]
    number = random.choice(numbers)
    return refused(JSON_HEADERS, as_json([[1, 2, 3, number]], [0]), "wrong_dtype")


def wrong_headers(random: Random) -> Expected:
    name, value = random.choice(
        [
            ("ce_type", "si-stream.sample"),
            ("ce_type", ""),
            ("ce_type", "\udcff\udcfe"),  # as bytes that are not UTF-8 are read
            ("ce_type", "x" * 50_000),
            ("ce_specversion", "0.3"),
            ("ce_specversion", "\x00"),
            ("content-type", "text/csv"),
            ("content-type", "application/\udc80json"),
            ("content-type", ""),
        ]
    )
    return refused({**JSON_HEADERS, name: value}, as_json(*some(random)))


def wrong_event(random: Random) -> Expected:
    """A boundary or an end that must not act."""
    headers = {"ce_type": random.choice(["si-stream.boundary", "si-stream.end"]), "ce_id": "x"}
    body = b"{}"
    fault = random.randrange(4)
    if fault == 0:
        del headers["ce_id"]
    elif fault == 1:
        headers["ce_id"] = random.choice(["", "x" * 129, "a\nb", "\udc80", "\x1b[31m"])
    elif fault == 2:
        headers["content-type"] = ARROW
    else:
        body = random.choice([b"", b"[]", b"{", b'{"x": 1}', b'{"next_task": 3}', b"null"])
    return refused(headers, body)


def wrong_members(random: Random) -> Expected:
    inputs, labels = some(random)
    members: dict[str, object] = random.choice(
        [
            {"task": "x" * 30_000},
            {"task": "a\nb"},
            {"task": ["a"]},
            {"role": "tester"},
            {"role": None},
            {"classes": "abc"},
            {"classes": ["a", "b", "c", "d"]},
            {"classes": [""]},
            {"x" * 30_000: 1},
            {"inputs": []},
            {"labels": []},
            {"labels": None},
            {"inputs": 3},
        ]
    )
    return refused(JSON_HEADERS, as_json(inputs, labels, members))


def doubled_members(random: Random) -> Expected:
    value = as_json(*some(random))
    return refused(JSON_HEADERS, b'{"task": "a", ' + value[1:])


def too_large(random: Random) -> Expected:
    value = random.choice([b"x", b"[", b"\xff", b" "]) * (MAX_BYTES + random.randint(1, 1000))
    return refused(random.choice([ARROW_HEADERS, JSON_HEADERS]), value, "too_large")


def wrong_task(random: Random) -> Expected:
    inputs, labels = some(random)
    if random.random() < 0.5:
        return refused(ARROW_HEADERS, arrow(inputs, labels, task="b"), "wrong_task")
    return refused(JSON_HEADERS, as_json(inputs, labels, {"task": "\u03c9"}), "wrong_task")


def other_arrow(random: Random) -> Expected:
    """Whole and true Arrow, but not what the format asks for."""
    return random.choice(OTHER_ARROW)()


def written(batches: list[pa.RecordBatch], file: bool = False, **options: Any) -> Expected:
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_file if file else pa.ipc.new_stream
    with new(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return refused(ARROW_HEADERS, sink.getvalue().to_pybytes())


def batch_of(rows: int = 2, **columns: pa.Array) -> pa.RecordBatch:
    storage = pa.FixedSizeListArray.from_arrays(pa.array([1.0] * 4 * rows, pa.float32()), 4)
    tensor = pa.fixed_shape_tensor(pa.float32(), [4])
    whole = {
        "input": pa.ExtensionArray.from_storage(tensor, storage),
        "label": pa.array([0] * rows, pa.int64()),
    } | columns
    return pa.record_batch(list(whole.values()), names=list(whole))


def _wrong_dtype_of_labels() -> Expected:
    one = written([batch_of(label=pa.array([0, 1], pa.int32()))])
    return one._replace(letters=((None, "wrong_dtype"),))


OTHER_ARROW: list[Callable[[], Expected]] = [
    lambda: written([batch_of()], compression="zstd"),
    lambda: written([batch_of()], compression="lz4"),
    lambda: written([batch_of(0)]),
    lambda: written([batch_of(), batch_of()]),
    lambda: written([batch_of()], file=True),
    lambda: written([batch_of(more=pa.array([1, 2]))]),
    lambda: written([batch_of(label=pa.array([0, None], pa.int64()))]),
    lambda: written([batch_of(label=pa.array(["0", "1"]).dictionary_encode())]),
    lambda: written([batch_of(input=pa.array([[1.0] * 4] * 2, pa.list_(pa.float32())))]),
    lambda: written([pa.record_batch([pa.array([1, 2])], names=["label"])]),
    _wrong_dtype_of_labels,
]
WAYS: list[Callable[[Random], Expected]] = [
    random_bytes,
    truncated,
    json_with_a_high_bit,
    flipped_label,
    flipped_anywhere,
    flipped_anywhere,
    huge_lengths,
    nested,
    not_finite,
    wrong_label,
    wrong_shape,
    wrong_dtype,
    wrong_headers,
    wrong_event,
    wrong_members,
    doubled_members,
    too_large,
    wrong_task,
    other_arrow,
]
