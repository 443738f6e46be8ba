"""Snapshots: whole under their final name, and the newest whole one is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from services.snapshotting import make_snapshot
from si_stream.boundaries.choice import USUAL_TEMPERATURE, Likeness, make_chooser
from si_stream.boundaries.portraits import Portraits
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import (
    ServedChoice,
    Snapshot,
    SnapshotStore,
    Version,
    decode,
    encode,
    read,
)
from si_stream.errors import CheckpointError, CorruptCheckpoint
from si_stream.learning.frozen import FrozenNetwork
from si_stream.state import State
from tests.checkpoints.test_files import no_file_above
from tests.checkpoints.test_store import damages, state_after
from tests.streams import samples


def snapshot_from(state: State, epoch: int) -> Snapshot:
    tensors = state.main.learner.state()
    model = state.settings.model
    return make_snapshot(model, state.ledger, state.measures(), tensors, epoch, 2.5)


def snapshot_of(count: int, epoch: int = 1) -> Snapshot:
    return snapshot_from(state_after(count), epoch)


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    snapshot = snapshot_of(20)
    again = read(SnapshotStore(tmp_path).publish(snapshot, keep=3))
    assert again.manifest == snapshot.manifest
    assert again.weights.keys() == snapshot.weights.keys()
    assert all(torch.equal(again.weights[n], snapshot.weights[n]) for n in snapshot.weights)


def test_a_snapshot_says_how_well_tasks_are_kept_without_the_answers_that_show_it() -> None:
    state = state_after(20)
    assert state.measures()["main"].best
    main = snapshot_from(state, 1).manifest.tracks["main"]
    assert main.best == {}
    assert main.accuracy == state.measures()["main"].accuracy


def test_portraits_come_back_as_they_were(tmp_path: Path) -> None:
    portraits = Portraits((4,), 3)
    for number, count in ((0, 300), (1, 100), (2, 400)):
        of = samples(count, 1000 * number)
        portraits.see(number, torch.from_numpy(of.inputs), torch.from_numpy(of.labels))
        portraits.end(number)
    chooser = make_chooser((4,), portraits.known, {})
    assert chooser is not None
    state = state_after(20)
    place = (state.settings.model, state.ledger, state.measures(), state.main.learner.state())
    snapshot = make_snapshot(*place, 1, 2.5, chooser)
    again = read(SnapshotStore(tmp_path).publish(snapshot, keep=3))
    assert again.manifest.choice == ServedChoice(temperature=USUAL_TEMPERATURE, fitted_samples=0)
    assert [*again.portraits] == [0]  # task 1 was too short for one, and 2 has no head
    assert again.portraits.keys() == snapshot.portraits.keys()
    for name, tensor in again.portraits[0].tensors().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, snapshot.portraits[0].tensors()[name])
    assert again.weights.keys() == snapshot.weights.keys()


def test_a_portrait_takes_some_70_kilobytes() -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    portraits = Portraits((28, 28), 10)
    portraits.see(0, torch.from_numpy(inputs), torch.arange(300) % 10)
    portraits.end(0)
    likeness = Likeness.of(portraits.known[0])
    assert likeness is not None
    snapshot = snapshot_of(20)
    with_it = snapshot._replace(portraits={0: likeness})
    assert 70_000 < len(encode(with_it)) - len(encode(snapshot)) < 72_000


def test_a_snapshot_says_what_it_can_answer_and_how_well() -> None:
    manifest = snapshot_of(20, epoch=4).manifest
    assert manifest.version == Version(4, 4)
    assert (manifest.samples, manifest.position, manifest.active_task) == (25, {0: (5, 0)}, None)
    assert [(t.name, t.head, t.samples, t.holdout_samples) for t in manifest.tasks] == [
        ("a", 0, 20, 3),
        ("b", 1, 5, 0),
    ]
    assert manifest.tasks[0].holdout_accuracy is not None
    assert manifest.tasks[1].holdout_accuracy is None
    assert [*manifest.tracks] == ["main", "shadow"]


def test_a_snapshot_predicts_as_the_learner_does() -> None:
    state = state_after(20)
    manifest, weights, _ = decode(encode(snapshot_from(state, 1)), "here")
    inputs = torch.arange(40, dtype=torch.uint8).reshape(10, 4)
    logits = state.main.learner.predict(inputs, head=1)
    probabilities = FrozenNetwork(manifest.model, weights).probabilities(inputs.numpy(), head=1)
    assert torch.equal(torch.from_numpy(probabilities), logits.softmax(1))


def test_a_snapshot_holds_no_more_than_predicting_needs() -> None:
    assert sorted(snapshot_of(20).weights) == [
        "heads.0.weights",
        "heads.1.weights",
        "trunk.weights",
    ]


def test_versions_are_compared_by_epoch_then_step() -> None:
    assert Version(2, 10) > Version(1, 500)
    assert Version(2, 10) > Version(2, 9)
    assert str(Version(2, 10)) == "2.10"


def test_the_newest_is_the_last_of_the_highest_epoch(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    assert store.newest() is None
    assert store.newest_path() is None
    store.publish(snapshot_of(20, epoch=2), keep=3)
    last = store.publish(snapshot_of(40, epoch=2), keep=3)
    store.publish(snapshot_of(80, epoch=1), keep=3)
    assert store.newest_path() == last
    newest = store.newest()
    assert newest is not None
    assert newest.manifest.version == Version(2, 6)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    paths = [store.publish(snapshot_of(20), keep=2) for _ in range(5)]
    assert sorted(paths[0].parent.iterdir()) == paths[-2:]


def test_a_damaged_snapshot_is_refused_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SnapshotStore(tmp_path)
    store.publish(snapshot_of(20), keep=3)
    path = store.publish(snapshot_of(40), keep=3)
    count = 0
    for count, damage in enumerate(damages(path.read_bytes()), start=1):
        path.write_bytes(damage)
        newest = store.newest()
        assert newest is not None
        assert newest.manifest.samples == 25
        assert len(caplog.messages) == count
    assert count > 10
    path.unlink()
    newest = store.newest()
    assert newest is not None
    assert newest.manifest.samples == 25


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 100, (2**60).to_bytes(8, "little"), b"\2\0\0\0\0\0\0\0{}", b"\2" + b"\0" * 99],
)
def test_what_is_no_snapshot_is_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = files.commit_file(tmp_path, files.name(1, files.sha256(data), ".safetensors"), data)
    with pytest.raises(CorruptCheckpoint, match="is not a snapshot that can be read") as raised:
        read(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(CorruptCheckpoint, match="it is no snapshot"):
        read(tmp_path / "other.safetensors")


def test_a_full_disk_is_said_in_one_line_and_the_one_before_stays(tmp_path: Path) -> None:
    store, snapshot = SnapshotStore(tmp_path), snapshot_of(20)
    path = store.publish(snapshot, keep=3)
    with no_file_above(100), pytest.raises(CheckpointError, match="File too large; make room"):
        store.publish(snapshot, keep=3)
    assert [*path.parent.iterdir()] == [path]


def test_a_directory_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write into .*: Not a directory"):
        SnapshotStore(tmp_path / "file").publish(snapshot_of(20), keep=3)


def test_a_snapshot_counts_as_published_where_one_before_cannot_be_removed(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    first = store.publish(snapshot_of(20), keep=1)
    first.with_name(files.name(0, "0" * 64, ".safetensors")).mkdir()
    second = store.publish(snapshot_of(40), keep=1)
    assert store.newest_path() == second
    assert not first.exists()
