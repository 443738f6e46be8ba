"""Holdout sets are found by whoever only reads, and are those that a checkpoint has."""

from __future__ import annotations

from pathlib import Path

import pytest

from si_stream.checkpoints.holdout_files import HoldoutFiles
from si_stream.checkpoints.store import MANIFEST, CheckpointStore
from si_stream.errors import CorruptCheckpoint
from tests.services.test_learner_host import MESSAGES, run
from tests.streams import memory_broker, settings

LIMIT_BYTES = 1024 * 1024


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    run(memory_broker(MESSAGES), settings(tmp_path))
    return tmp_path


def test_what_is_read_is_what_the_store_reads(learned: Path) -> None:
    held, checkpoint = HoldoutFiles(learned), CheckpointStore(learned).newest()
    assert checkpoint is not None
    file = held.newest("a")
    assert file is not None
    inputs, labels = held.read(file, LIMIT_BYTES)
    assert inputs.equal(checkpoint.holdouts["a"].inputs)
    assert labels.equal(checkpoint.holdouts["a"].labels)
    assert held.newest("b") is None


def test_where_the_newest_checkpoint_is_damaged_the_one_before_tells(learned: Path) -> None:
    newest, *before = CheckpointStore(learned).newest_first()
    assert before
    (newest / MANIFEST).write_bytes(b"{}")
    assert HoldoutFiles(learned).newest("a") is not None
    for path in before:
        (path / MANIFEST).unlink()
    assert HoldoutFiles(learned).newest("a") is None


def test_where_nothing_was_learned_there_is_none(tmp_path: Path) -> None:
    assert HoldoutFiles(tmp_path / "later").newest("a") is None


def test_a_file_that_was_altered_or_has_no_digest_is_not_parsed(learned: Path) -> None:
    held = HoldoutFiles(learned)
    file = held.newest("a")
    assert file is not None
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(CorruptCheckpoint, match="cut short or altered"):
        held.read(file, LIMIT_BYTES)
    with pytest.raises(CorruptCheckpoint, match="is no name of a holdout file"):
        held.read(learned / "holdouts" / "none.safetensors", LIMIT_BYTES)
