"""Snapshots that lie: named as whole ones are, and refused before they have taken any memory."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.predictor.answers import accuracy_matrices, task_list
from services.predictor.follower import Follower
from services.predictor.served import Served
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SUFFIX, encode, read
from si_stream.errors import CorruptCheckpoint
from tests.memory import memory_within
from tests.services.predictor.serving import Teacher

LIMIT_BYTES = 4 * 1024 * 1024
MEGABYTES = 48
Header = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A good snapshot, which every other here is made of; served once, as that takes memory too."""
    teacher = Teacher(tmp_path_factory.mktemp("teacher"))
    teacher.teach()
    data = encode(teacher.choosable())
    path = named(tmp_path_factory.mktemp("whole"), data)
    accuracy_matrices(Served(read(path, LIMIT_BYTES)))
    return data


def named(directory: Path, data: bytes) -> Path:
    """It lies where a snapshot does, and its name says what it is."""
    place = directory / "epochs" / "000001" / "snapshots"
    place.mkdir(parents=True, exist_ok=True)
    path = place / files.name(1, files.sha256(data), SUFFIX)
    path.write_bytes(data)
    return path


def with_header(data: bytes, change: Callable[[Header], None]) -> bytes:
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def with_manifest(data: bytes, change: Callable[[Header], None]) -> bytes:
    def changed(header: Header) -> None:
        manifest = json.loads(header["__metadata__"]["manifest"])
        change(manifest)
        header["__metadata__"]["manifest"] = json.dumps(manifest)

    return with_header(data, changed)


def refused(directory: Path, data: bytes, says: str) -> None:
    path = named(directory, data)
    with memory_within(MEGABYTES), pytest.raises(CorruptCheckpoint, match=says):
        Served(read(path, LIMIT_BYTES))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 2**31, 0, 1])
def test_a_header_that_lies_about_its_length(length: int, whole: bytes, tmp_path: Path) -> None:
    refused(tmp_path, struct.pack("<Q", length) + whole[8:], "is not a snapshot that can be read")


@pytest.mark.parametrize("data", [b"", b"\x01", b"{}", bytes(8), b"\xff" * 1000])
def test_what_is_no_safetensors_file(data: bytes, tmp_path: Path) -> None:
    refused(tmp_path, data, "is not a snapshot that can be read")


TENSORS = {
    "beyond the file": {"dtype": "F32", "shape": [2], "data_offsets": [2**40, 2**40 + 8]},
    "up to 2^64": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 2**64 - 1]},
    "of a huge shape": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]},
    "of a shape that overflows": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 8]},
    "backwards": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
    "negative": {"dtype": "F32", "shape": [-2], "data_offsets": [-8, 0]},
    "over another": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "of an unknown type": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]},
    "no tensor": [[[]]],
}


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS.keys())
def test_a_tensor_that_lies(tensor: object, whole: bytes, tmp_path: Path) -> None:
    for name in ("trunk.weights", "one more"):
        data = with_header(whole, lambda header, name=name: header.update({name: tensor}))  # type: ignore[misc]
        refused(tmp_path / name, data, "is not a snapshot that can be read")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_is_nested_deeply(opening: bytes, tmp_path: Path) -> None:
    deep = opening * 500_000
    refused(tmp_path / "1", struct.pack("<Q", len(deep)) + deep, "can be read")
    header = b'{"__metadata__": {"manifest": %s}}' % json.dumps(deep.decode()).encode()
    refused(tmp_path / "2", struct.pack("<Q", len(header)) + header, "can be read")


def of_model(**changes: Any) -> Callable[[Header], None]:
    return lambda manifest: manifest["model"].update(changes)


def of_network(**changes: Any) -> Callable[[Header], None]:
    return lambda manifest: manifest["model"]["network"].update(changes)


def of_task(**changes: Any) -> Callable[[Header], None]:
    return lambda manifest: manifest["tasks"][0].update(changes)


def of_measures(part: str, value: Any) -> Callable[[Header], None]:
    return lambda manifest: manifest["tracks"]["main"].update({part: value})


CNN = {"network": {"kind": "cifar-cnn"}}
LIVE = {"accuracy": 0.5, "samples": 1, "step": 1}
MANIFESTS = {
    "a layer of 2^40 units": of_network(hidden=[2**40]),
    "layers of 100,000 units": of_network(hidden=[100_000] * 10),
    "a hundred thousand layers": of_network(hidden=[1] * 100_000),
    "an input of 2^40 numbers": of_model(input_shape=[2**40]),
    "an input of 2^25 numbers": of_model(input_shape=[2**25]),
    "an input of many dimensions": of_model(input_shape=[1] * 10_000),
    "2^40 labels": of_model(outputs=2**40),
    "2^30 labels": of_model(outputs=2**30),
    "room for 2^40 labels": of_model(labels="open", max_classes=2**40),
    "a wide image": of_model(input_shape=[1, 4, 2**22], **CNN),
    "a large image": of_model(input_shape=[1, 8000, 8000], **CNN),
    "many channels": of_model(input_shape=[2**16, 32, 32], **CNN),
    "a head that is not there": of_task(head=2**40),
    "a head before the first": of_task(head=-1),
    "a column before the first": of_task(number=-1),
    "an accuracy of 2": of_measures("live", {"digits-0-1": LIVE | {"accuracy": 2}}),
    "an accuracy of no samples": of_measures("live", {"digits-0-1": LIVE | {"samples": 0}}),
    "answers that are not there": of_measures("best", {0: {"samples": 2**40, "right": ""}}),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_that_promises_what_is_not_there(
    change: Callable[[Header], None], whole: bytes, tmp_path: Path
) -> None:
    refused(tmp_path, with_manifest(whole, change), "can be read|does not fit its own model")


@pytest.mark.parametrize("number", [0, 2**40, 2**62])
def test_a_column_or_a_count_of_any_size_takes_no_room(
    number: int, whole: bytes, tmp_path: Path
) -> None:
    change = of_task(number=number, samples=number, holdout_samples=number)
    path = named(tmp_path, with_manifest(whole, change))
    with memory_within(MEGABYTES):
        served = Served(read(path, LIMIT_BYTES))
        assert task_list(served).tasks[0].samples == number
        rows = accuracy_matrices(served).tracks["main"].rows
    assert [row[0] for row in rows] == ([0.99, 0.59] if number == 0 else [None, None])


def test_a_file_beyond_the_limit_is_not_even_read(whole: bytes, tmp_path: Path) -> None:
    path = named(tmp_path, whole)
    os.truncate(path, 2**40)  # a terabyte that takes no room
    with memory_within(MEGABYTES), pytest.raises(CorruptCheckpoint, match=r"1099511627776 bytes"):
        read(path, LIMIT_BYTES)


@pytest.mark.parametrize("target", ["/dev/zero", "outside", "nowhere"])
def test_a_symbolic_link_is_not_followed(target: str, whole: bytes, tmp_path: Path) -> None:
    path = named(tmp_path, whole)
    (tmp_path / "outside").write_bytes(whole)
    path.unlink()
    path.symlink_to(tmp_path / target)
    with pytest.raises(CorruptCheckpoint, match="cannot be read: it is a symbolic link"):
        read(path, LIMIT_BYTES)


def test_a_pipe_or_a_directory_is_not_waited_for(whole: bytes, tmp_path: Path) -> None:
    path = named(tmp_path, whole)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CorruptCheckpoint, match="cannot be read: it is no regular file"):
        read(path, LIMIT_BYTES)
    path.unlink()
    path.mkdir()
    with pytest.raises(CorruptCheckpoint, match="cannot be read: it is no regular file"):
        read(path, LIMIT_BYTES)


def test_a_predictor_passes_over_it_and_serves_the_one_before(
    whole: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = named(tmp_path, whole)
    data = with_manifest(whole, of_network(hidden=[2**40]))
    before.with_name(files.name(2, files.sha256(data), SUFFIX)).write_bytes(data)
    follower = Follower(tmp_path, interval_seconds=60)
    follower.look()
    assert follower.current().version == (1, 3)
    assert (follower.loads, follower.failures) == (1, 1)
    assert "Traceback" not in caplog.text
