"""Checkpoints that are whole, damaged, or not read to their end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services.doctor.wholeness import look_at, newest_whole
from si_stream.checkpoints.store import STATE, CheckpointStore
from si_stream.errors import CorruptCheckpoint
from tests.services.doctor.models import checkpointed, damage
from tests.services.test_learner_host import MESSAGES, run
from tests.streams import memory_broker, settings


def soon() -> float:
    return time.monotonic() + 60


def test_a_byte_that_was_altered_is_found_and_not_before_there_is_time(tmp_path: Path) -> None:
    path, store = checkpointed(settings(tmp_path)), CheckpointStore(tmp_path)
    assert look_at(store, path, 0.0)[1] is False
    manifest, is_read = look_at(store, path, soon())
    assert (manifest.epoch, is_read) == (1, True)
    assert look_at(store, path, 0.0)[1] is True, "it was read before"
    with (path / STATE).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(CorruptCheckpoint, match=f"{STATE} does not have the SHA-256"):
        look_at(store, path, soon())


def test_a_file_that_is_gone_and_a_manifest_that_is_damaged_are_told_of(tmp_path: Path) -> None:
    path, store = checkpointed(settings(tmp_path)), CheckpointStore(tmp_path)
    (path / STATE).unlink()
    with pytest.raises(CorruptCheckpoint, match="cannot be read: No such file"):
        look_at(store, path, soon())
    with (path / "manifest.json").open("ab") as file:
        file.write(b" ")
    with pytest.raises(CorruptCheckpoint, match=r"manifest\.json .* does not have the SHA-256"):
        look_at(store, path, 0.0)


def test_a_holdout_file_belongs_to_each_checkpoint_that_names_it(tmp_path: Path) -> None:
    run(memory_broker(MESSAGES), settings(tmp_path))
    store = CheckpointStore(tmp_path)
    path = next(store.newest_first())
    assert look_at(store, path, soon())[1] is True
    held = next(file for file in store.files_of(path, store.manifest(path)) if file.name != STATE)
    with held.open("ab") as file:
        file.write(b" ")
    with pytest.raises(CorruptCheckpoint, match=f"{held.name} does not have the SHA-256"):
        look_at(store, path, soon())


def test_the_newest_whole_one_is_told_by_what_was_read_and_nothing_is_read_again(
    tmp_path: Path,
) -> None:
    checkpointed(settings(tmp_path))
    path = checkpointed(settings(tmp_path))
    damage(path)
    newest = newest_whole(tmp_path)
    assert newest is not None
    assert newest.epoch == 2, "nothing has been read yet"
    with pytest.raises(CorruptCheckpoint):
        look_at(CheckpointStore(tmp_path), path, soon())
    newest = newest_whole(tmp_path)
    assert newest is not None
    assert newest.epoch == 1
