"""Checkpoints and holdout files that lie: refused before they have taken any memory, and passed
over for the checkpoint before."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from si_stream.checkpoints import files
from si_stream.checkpoints.holdout_files import HoldoutFiles
from si_stream.checkpoints.store import MANIFEST, STATE, CheckpointStore
from si_stream.errors import CorruptCheckpoint
from tests.memory import memory_within
from tests.services.test_learner_host import MESSAGES, run
from tests.streams import memory_broker, settings

MEGABYTES = 48
LARGE_BYTES = 200 * 1024 * 1024
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("learned")
    run(memory_broker(MESSAGES), settings(directory))
    return directory


@pytest.fixture
def store(learned: Path, tmp_path: Path) -> CheckpointStore:
    """Of whole checkpoints, to spoil."""
    return CheckpointStore(shutil.copytree(learned, tmp_path / "model"))


def nothing(_manifest: Manifest) -> None:
    """It stays as it is."""


def forged(
    store: CheckpointStore, change: Callable[[Manifest], None], state: bytes | None = None
) -> Path:
    """The newest checkpoint once more, as a newer one, with a changed manifest, or another state;
    its name and the digests in it are true."""
    newest = next(store.newest_first())
    manifest = json.loads((newest / MANIFEST).read_bytes())
    forged = newest.with_name("forged")
    forged.mkdir()
    (forged / STATE).write_bytes((newest / STATE).read_bytes() if state is None else state)
    if state is not None:
        manifest["state_sha256"] = files.sha256(state)
    change(manifest)
    text = json.dumps(manifest).encode()
    (forged / MANIFEST).write_bytes(text)
    return forged.rename(newest.with_name(files.name(999, files.sha256(text))))


def passed_over(store: CheckpointStore, path: Path, says: str) -> None:
    with memory_within(MEGABYTES), pytest.raises(CorruptCheckpoint, match=says):
        store.read(path)
    with memory_within(MEGABYTES):
        checkpoint = store.newest()
    assert checkpoint is not None
    assert checkpoint.manifest.number < 999
    assert store.refused == 1


LYING = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}'
STATES = {
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header beyond the file": struct.pack("<Q", 10**8 - 1) + b"{}",
    "a tensor beyond the file": struct.pack("<Q", 53) + LYING % (10**7, 4 * 10**7),
    "nothing": b"",
}


@pytest.mark.parametrize("data", STATES.values(), ids=STATES.keys())
def test_a_state_that_lies(data: bytes, store: CheckpointStore) -> None:
    passed_over(store, forged(store, nothing, data), "cannot be read")


def test_a_state_that_has_grown_is_hashed_and_never_held(store: CheckpointStore) -> None:
    path = forged(store, nothing)
    os.truncate(path / STATE, LARGE_BYTES)
    passed_over(store, path, r"\(209715200 bytes\) does not have the SHA-256")


def test_a_manifest_beyond_the_limit_is_not_even_read(store: CheckpointStore) -> None:
    path = forged(store, nothing)
    os.truncate(path / MANIFEST, 2**40)
    passed_over(store, path, "1099511627776 bytes, and 134217728 are the limit")


def of_track(part: str, value: Any) -> Callable[[Manifest], None]:
    return lambda manifest: manifest["measures"]["main"].update({part: value})


def deep(manifest: Manifest) -> None:
    inner: list[Any] = []
    for _ in range(900):  # more than pydantic goes into, less than Python can write
        inner = [inner]
    manifest["learning"] = {"optimiser": inner}


MANIFESTS = {
    "answers that are not there": of_track("best", {0: {"samples": 2**40, "right": "AA=="}}),
    "an accuracy of no samples": of_track(
        "live", {"a": {"accuracy": 1, "samples": 0, "step": 1}}
    ),
    "deep nesting": deep,
}  # fmt: skip


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_that_promises_what_is_not_there(
    change: Callable[[Manifest], None], store: CheckpointStore
) -> None:
    passed_over(store, forged(store, change), "cannot be read")


@pytest.mark.parametrize("leading", ["../../../../{}", "/tmp/{}", "../holdouts/{}", "./{}", "{}/"])
def test_a_name_that_leads_elsewhere_is_no_name(leading: str, store: CheckpointStore) -> None:
    held = next(files.newest_first(store.holdouts)).name
    name = leading.format(held)
    path = forged(store, lambda manifest: manifest.update({"holdouts": {"a": name}}))
    passed_over(store, path, "is no name of a holdout file")
    reading = HoldoutFiles(store.directory)
    file = reading.newest("a")
    assert file is not None
    if file.parent != store.holdouts:
        with pytest.raises(CorruptCheckpoint, match="is no name of a holdout file"):
            reading.read(file, LARGE_BYTES)


def test_a_holdout_file_that_is_a_link_is_not_followed(store: CheckpointStore) -> None:
    file = next(files.newest_first(store.holdouts))
    elsewhere = file.rename(store.directory / "elsewhere")
    file.symlink_to(elsewhere)
    with pytest.raises(CorruptCheckpoint, match="it is a symbolic link"):
        HoldoutFiles(store.directory).read(file, LARGE_BYTES)
    with pytest.raises(CorruptCheckpoint, match="it is a symbolic link"):
        store.read(next(store.newest_first()))


def test_a_holdout_file_beyond_the_limit_is_not_even_read(store: CheckpointStore) -> None:
    file = next(files.newest_first(store.holdouts))
    os.truncate(file, 2**40)
    with memory_within(MEGABYTES), pytest.raises(CorruptCheckpoint, match="are the limit"):
        HoldoutFiles(store.directory).read(file, LARGE_BYTES)


SETS = {
    "no labels": {"inputs": torch.zeros(2, 4)},
    "fewer labels": {"inputs": torch.zeros(2, 4), "labels": torch.zeros(1, dtype=torch.int64)},
    "labels that are none": {"inputs": torch.zeros(2, 4), "labels": torch.zeros(2)},
    "labels in a table": {"inputs": torch.zeros(2, 4), "labels": torch.zeros(2, 1).long()},
}


@pytest.mark.parametrize("tensors", SETS.values(), ids=SETS.keys())
def test_a_holdout_set_that_is_none(tensors: dict[str, Any], store: CheckpointStore) -> None:
    data = save(tensors)
    file = store.holdouts / files.name(2, files.sha256(data), ".safetensors")
    file.write_bytes(data)
    with pytest.raises(CorruptCheckpoint, match="is no holdout set"):
        HoldoutFiles(store.directory).read(file, LARGE_BYTES)
