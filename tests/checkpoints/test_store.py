"""The store of checkpoints: one is wholly old or wholly new, and belongs to one writer."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from si_stream.brokers.interface import Envelope
from si_stream.checkpoints import files
from si_stream.checkpoints.copies import Space, StateCopy, arithmetic
from si_stream.checkpoints.store import MANIFEST, STATE, CheckpointStore
from si_stream.errors import CheckpointError, CorruptCheckpoint, NewerFormat, Superseded
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.state import State
from tests.checkpoints.test_files import no_file_above
from tests.streams import contents, learned, loaded, samples, settings


def state_after(count: int, holdouts: int = 3, **groups: Any) -> State:
    """A state with two tasks and a shadow; more samples, or more holdouts, make it another one."""
    stream: list[Message | Envelope] = [
        samples(holdouts, 900, task="a", role="holdout"),
        samples(count, task="a"),
        Boundary("1"),
        samples(5, 300, task="b"),
        End("2"),
    ]
    return learned(stream, settings(learner={"shadow": "none"}, **groups))


def copy_after(count: int, holdouts: int = 3) -> StateCopy:
    return Space().copy(state_after(count, holdouts))


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "model")


def newest_step(store: CheckpointStore) -> int | None:
    checkpoint = store.newest()
    return checkpoint.manifest.ledger.steps if checkpoint else None


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_checkpoint_gives_back_the_whole_state(kind: str, store: CheckpointStore) -> None:
    state = state_after(20, optimiser={"kind": kind})
    path, size = store.write(Space().copy(state), store.claim_epoch(), written_seconds=1.5)
    assert contents(loaded(store, path, state.settings)) == contents(state)
    assert size == sum(file.stat().st_size for file in path.iterdir())


def test_a_checkpoint_says_whose_it_is_and_what_its_bits_depend_on(store: CheckpointStore) -> None:
    state = state_after(20)
    path, _ = store.write(Space().copy(state), store.claim_epoch(), written_seconds=1.5)
    manifest = store.read(path).manifest
    assert (manifest.epoch, manifest.number, manifest.written_seconds) == (1, 1, 1.5)
    assert manifest.identity == state.identity
    assert manifest.arithmetic == arithmetic(state)
    assert manifest.learning["optimiser"]["learning_rate"] == 0.001
    assert manifest.learning["consolidator"]["strength"] == 1.0


def test_an_empty_store_has_no_newest(store: CheckpointStore) -> None:
    assert store.newest() is None
    store.claim_epoch()
    assert store.newest() is None
    assert store.refused == 0


def edges(data: bytes) -> list[int]:
    """Where the parts of a file meet: a line of JSON and the next, a tensor and the next."""
    if data.startswith(b"{"):
        return [0, *(place + 1 for place, byte in enumerate(data) if byte == ord("\n"))]
    length = 8 + int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8:length])
    ends = [
        length + tensor["data_offsets"][1]
        for name, tensor in tensors.items()
        if name != "__metadata__"
    ]
    return [0, 8, length, *sorted(ends)]


def damages(data: bytes) -> Iterator[bytes]:
    """Cut at each edge, one before and one behind it; a bit flipped within each part; too long."""
    places = edges(data)
    for cut in sorted({place + by for place in places for by in (-1, 0, 1)}):
        if 0 <= cut < len(data):
            yield data[:cut]
    for begin, end in pairwise([*places, len(data)]):
        if begin < end:
            at = (begin + end) // 2
            yield data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]
    yield data + b"\0"


@pytest.mark.parametrize("part", [MANIFEST, STATE, "holdout"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_taken(
    part: str, store: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = store.claim_epoch()
    first = state_after(20)
    store.write(Space().copy(first), epoch, 0.0)
    path, _ = store.write(copy_after(40, holdouts=4), epoch, 0.0)
    damaged = next(files.newest_first(store.holdouts)) if part == "holdout" else path / part
    whole = damaged.read_bytes()
    refused = 0
    for refused, damage in enumerate(damages(whole), start=1):
        damaged.write_bytes(damage)
        assert newest_step(store) == first.ledger.steps
        assert store.refused == refused
    assert refused > 10
    damaged.unlink()
    assert newest_step(store) == first.ledger.steps
    assert len(caplog.messages) == refused + 1
    assert all(line.startswith("passing over a checkpoint: ") for line in caplog.messages)
    assert not any("\n" in line for line in caplog.messages)
    damaged.write_bytes(whole)
    assert newest_step(store) != first.ledger.steps


def test_of_two_damaged_ones_neither_is_taken(store: CheckpointStore) -> None:
    epoch = store.claim_epoch()
    for count in (20, 40):
        path, _ = store.write(copy_after(count), epoch, 0.0)
        (path / STATE).write_bytes((path / STATE).read_bytes() + b"\0")
    assert store.newest() is None
    assert store.refused == 2


def test_a_checkpoint_of_a_format_not_known_here_is_refused(store: CheckpointStore) -> None:
    path, _ = store.write(copy_after(20), store.claim_epoch(), 0.0)
    text = (path / MANIFEST).read_bytes().replace(b"checkpoint/1", b"checkpoint/9")
    other = path.with_name(files.name(2, files.sha256(text)))
    path.rename(other)
    (other / MANIFEST).write_bytes(text)
    with pytest.raises(NewerFormat, match="it has format si-stream-checkpoint/9, and this one"):
        store.read(other)


def test_a_holdout_file_outside_the_store_is_not_read(store: CheckpointStore) -> None:
    path, _ = store.write(copy_after(20), store.claim_epoch(), 0.0)
    name = store.read(path).manifest.holdouts["a"].encode()
    text = (path / MANIFEST).read_bytes().replace(name, b"/etc/passwd")
    other = path.with_name(files.name(2, files.sha256(text)))
    path.rename(other)
    (other / MANIFEST).write_bytes(text)
    with pytest.raises(CorruptCheckpoint, match="'/etc/passwd' is no name of a holdout file"):
        store.read(other)


def test_left_overs_of_a_writer_that_was_killed_are_not_looked_at_and_then_removed(
    store: CheckpointStore,
) -> None:
    state = state_after(20)
    path, _ = store.write(Space().copy(state), store.claim_epoch(), 0.0)
    left = [path.with_name(f"{files.TEMPORARY}1"), store.holdouts / f"{files.TEMPORARY}2"]
    shutil.copytree(path, left[0])
    left[1].write_bytes(b"half")
    assert newest_step(store) == state.ledger.steps
    store.claim_epoch()
    assert not any(one.exists() for one in left)
    assert newest_step(store) == state.ledger.steps


def test_epochs_are_claimed_by_one_learner_each(store: CheckpointStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        epochs = [*pool.map(lambda _: CheckpointStore(store.directory).claim_epoch(), range(16))]
    assert len(set(epochs)) == 16


def test_the_newest_is_that_of_the_highest_epoch_which_holds_one(store: CheckpointStore) -> None:
    first, second = store.claim_epoch(), store.claim_epoch()
    store.write(copy_after(20), second, 0.0)
    for _ in range(3):  # a learner that was taken over writes on, and more
        (store.epochs / f"{first:06d}").mkdir(exist_ok=True)
        store.write(copy_after(200), first, 0.0)
    store.claim_epoch()
    assert newest_step(store) == state_after(20).ledger.steps


def test_a_learner_that_was_taken_over_before_its_first_checkpoint_is_told(
    store: CheckpointStore,
) -> None:
    first = store.claim_epoch()
    CheckpointStore(store.directory).claim_epoch()
    with pytest.raises(Superseded, match=r"taken over .* epoch 2 .* this one wrote epoch 1"):
        store.require(first)


@pytest.mark.parametrize("emptied", [False, True])
def test_an_epoch_that_is_gone_was_not_taken_over_and_nothing_is_made_or_removed_in_its_place(
    emptied: bool, store: CheckpointStore
) -> None:
    epoch = store.claim_epoch()
    path, _ = store.write(copy_after(20), epoch, 0.0)
    away = store.epochs.rename(store.directory / "away")
    if emptied:
        store.epochs.mkdir()
    with pytest.raises(
        CheckpointError, match=r"000001, which .* is gone: .* put it back"
    ) as raised:
        store.require(epoch)
    assert not isinstance(raised.value, Superseded)
    with pytest.raises(CheckpointError, match="cannot write into"):
        store.write(copy_after(40), epoch, 0.0)
    assert store.prune(epoch, 1, 0) == {}
    assert not any(store.epochs.glob("*"))
    if emptied:
        store.epochs.rmdir()
    away.rename(store.epochs)
    store.require(epoch)
    assert len(store.read(path).holdouts["a"]) == 3


def test_epochs_that_cannot_be_listed_do_not_count_as_none(store: CheckpointStore) -> None:
    epoch = store.claim_epoch()
    store.epochs.rename(store.directory / "away")
    store.epochs.touch()
    with pytest.raises(CheckpointError, match=r"cannot list .*: Not a directory"):
        store.newest()
    with pytest.raises(CheckpointError, match=r"cannot list .*: Not a directory"):
        store.require(epoch)


def test_a_learner_that_was_taken_over_removes_nothing_of_the_one_that_did(
    store: CheckpointStore,
) -> None:
    stale, first = CheckpointStore(store.directory), store.claim_epoch()
    stale.write(copy_after(20), first, 0.0)
    second = store.claim_epoch()
    path, _ = store.write(copy_after(40, holdouts=9), second, 0.0)
    for count in (60, 80):
        stale.write(copy_after(count, holdouts=5), first, 0.0)
        stale.prune(first, keep=1, keep_at_boundaries=0)
    assert store.read(path).holdouts["a"].labels.shape == (9,)
    assert len([*files.newest_first(path.parent)]) == 1


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_pruning_keeps_the_newest_and_their_holdouts(keep: int, store: CheckpointStore) -> None:
    for holdouts in range(1, 6):
        epoch = store.claim_epoch()
        store.write(copy_after(20, holdouts), epoch, 0.0)
        store.prune(epoch, keep, 0)
    left = sorted(store.epochs.glob("*/checkpoints/*"), reverse=True)
    assert [one.parts[-3] for one in left] == ["000005", "000004", "000003"][:keep]
    assert [len(store.read(one).holdouts["a"]) for one in left] == [5, 4, 3][:keep]
    assert len([*store.holdouts.iterdir()]) == keep
    assert len([*store.epochs.iterdir()]) == keep


def test_of_each_boundary_the_newest_is_kept_and_another_state_is_another_boundary(
    store: CheckpointStore,
) -> None:
    epoch = store.claim_epoch()
    written = [store.write(copy_after(n), epoch, 0.0)[0] for n in (20, 20, 40, 40, 60, 80, 80)]
    store.prune(epoch, keep=1, keep_at_boundaries=2)
    assert [*store.newest_first()] == [written[n] for n in (6, 4, 3)]


def test_epochs_of_learners_that_died_at_once_do_not_pile_up(store: CheckpointStore) -> None:
    first = store.claim_epoch()
    path, _ = store.write(copy_after(20), first, 0.0)
    for _ in range(5):
        epoch = store.claim_epoch()
        snapshots = store.epochs / f"{epoch:06d}" / "snapshots"
        snapshots.mkdir()
        files.commit_file(snapshots, files.name(1, files.sha256(b"s"), ".safetensors"), b"s")
    last = store.claim_epoch()
    names = sorted(int(one.name) for one in store.epochs.iterdir())
    assert names == [first, last - 1, last]  # the checkpoint, the newest snapshot, one's own
    assert path.exists()


def test_a_holdout_set_is_written_once_while_it_does_not_grow(store: CheckpointStore) -> None:
    epoch = store.claim_epoch()
    for count in (20, 40):
        store.write(copy_after(count), epoch, 0.0)
    assert len([*store.holdouts.iterdir()]) == 1


def test_a_holdout_file_that_was_removed_is_written_again(store: CheckpointStore) -> None:
    epoch = store.claim_epoch()
    store.write(copy_after(20), epoch, 0.0)
    next(store.holdouts.iterdir()).unlink()
    path, _ = store.write(copy_after(40), epoch, 0.0)
    assert len(store.read(path).holdouts["a"]) == 3


def test_a_full_disk_is_said_in_one_line_and_the_one_before_stays(store: CheckpointStore) -> None:
    epoch, state = store.claim_epoch(), state_after(20)
    path, _ = store.write(Space().copy(state), epoch, 0.0)
    for limit in (0, 100, (path / STATE).stat().st_size - 1):
        with no_file_above(limit), pytest.raises(CheckpointError) as raised:
            store.write(copy_after(40, holdouts=400), epoch, 0.0)
        assert "File too large; make room" in str(raised.value)
        assert "\n" not in str(raised.value)
    assert [*path.parent.iterdir()] == [path]
    assert newest_step(store) == state.ledger.steps


def test_a_directory_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write into .*: Not a directory"):
        CheckpointStore(tmp_path / "file" / "model").claim_epoch()


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from si_stream.checkpoints.copies import Space
from si_stream.checkpoints.store import CheckpointStore
from tests.checkpoints.test_store import state_after
store, state = CheckpointStore(Path(sys.argv[1])), state_after(20)
epoch = store.claim_epoch()
print("ready", flush=True)
while True:
    state.ledger.steps += 1
    store.write(Space().copy(state), epoch, 0.0)
    store.prune(epoch, 2, 0)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_checkpoints(store: CheckpointStore) -> None:
    before = -1
    for seed in range(2):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(store.directory)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).uniform(0.2, 0.6))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        checkpoint = store.newest()
        assert checkpoint is not None
        assert store.refused == 0
        assert checkpoint.manifest.ledger.steps > 0
        assert checkpoint.manifest.epoch > before
        before = checkpoint.manifest.epoch
