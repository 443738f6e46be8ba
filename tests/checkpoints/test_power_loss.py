"""Power that is lost at any moment: what was not synced is gone, and what was committed is there.

A killed process leaves the page cache, so killing says nothing about fsync. Here each fsync is
recorded with what it makes durable, a file's contents or a directory's names. From the record
the directory is rebuilt as a disk would hold it that has lost everything else, after each fsync.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.checkpoints.store import CheckpointStore
from tests.checkpoints.test_snapshots import snapshot_of
from tests.checkpoints.test_store import copy_after

Site = tuple[str, int]
Inode = int


class Entry(NamedTuple):
    inode: Inode
    is_directory: bool


class Died(BaseException):
    """The process was killed at an fsync."""


class Names(NamedTuple):
    entries: dict[str, Entry]


class Disk:
    """What of the files below ``root`` would outlive a power loss.

    Args:
        without: a place in the code whose fsyncs do nothing.

    Attributes:
        dies_at: the function in which the next fsync kills the process.
    """

    dies_at: str | None = None

    def __init__(self, root: Path, without: Site | None = None) -> None:
        self.root = root
        self.without = without
        self.sites: list[Site] = []
        self.synced: dict[Inode, bytes | Names] = {root.stat().st_ino: Names({})}
        self.moments: list[dict[Inode, bytes | Names]] = [dict(self.synced)]
        self._real = os.fsync
        self._held: list[int] = []  # so that no inode is used again

    def fsync(self, descriptor: int) -> None:
        site = calling_site()
        self.sites.append(site)
        if site[0] == self.dies_at:
            self.dies_at = None
            raise Died
        if site == self.without:
            return
        self._held.append(os.dup(descriptor))
        found, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(found.st_mode):
            entries = {e.name: Entry(e.inode(), e.is_dir()) for e in os.scandir(path.resolve())}
            self.synced[found.st_ino] = Names(entries)
        else:
            self.synced[found.st_ino] = path.read_bytes()
        self.moments.append(dict(self.synced))

    @contextmanager
    def recording(self) -> Iterator[None]:
        os.fsync = self.fsync  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fsync = self._real
            for descriptor in self._held:
                os.close(descriptor)

    def rebuilt(self, moment: int, target: Path) -> Path:
        """The directory as it is found when the power is back. A name that was synced, of
        something that was not, is that of an empty file or directory."""

        def build(entry: Entry, path: Path) -> None:
            found = self.moments[moment].get(entry.inode)
            if not entry.is_directory:
                path.write_bytes(found if isinstance(found, bytes) else b"")
                return
            path.mkdir()
            for name, child in found.entries.items() if isinstance(found, Names) else ():
                build(child, path / name)

        build(Entry(self.root.stat().st_ino, is_directory=True), target)
        return target


def calling_site() -> Site:
    """The function and line that wanted the fsync."""
    frame = sys._getframe(2)
    if frame.f_code is files.sync.__code__:
        assert frame.f_back is not None
        frame = frame.f_back
    return frame.f_code.co_qualname, frame.f_lineno


class Promise(NamedTuple):
    """From this moment on, a checkpoint (or a snapshot) of so many steps is not to be lost."""

    moment: int
    what: Callable[[Path], int]
    steps: int


def newest_checkpoint(directory: Path) -> int:
    checkpoint = CheckpointStore(directory).newest()
    return checkpoint.manifest.ledger.steps if checkpoint else 0


def newest_snapshot(directory: Path) -> int:
    snapshot = SnapshotStore(directory).newest()
    return snapshot.manifest.step if snapshot else 0


def a_learners_life(disk: Disk) -> list[Promise]:
    """Two epochs, holdouts that grow, pruning, snapshots; the promises that were made."""
    promises = []
    with disk.recording():
        store = CheckpointStore(disk.root / "model")
        for epoch, samples in ((1, 20), (1, 40), (2, 60), (2, 80)):
            if samples in (20, 60):
                assert store.claim_epoch() == epoch
            copy = copy_after(samples, holdouts=samples // 10)
            store.write(copy, epoch, 0.0)
            promises.append(Promise(len(disk.moments) - 1, newest_checkpoint, copy.ledger.steps))
            store.prune(epoch, 2, 0)
            snapshot = snapshot_of(samples, epoch)
            SnapshotStore(store.directory).publish(snapshot, 1)
            step = snapshot.manifest.step
            promises.append(Promise(len(disk.moments) - 1, newest_snapshot, step))
    return promises


def a_life_cut_short(disk: Disk) -> list[Promise]:
    """A learner dies when its holdout file has its name, before that is synced; the next one finds
    the file there."""
    copy = copy_after(20, holdouts=5)
    with disk.recording():
        store = CheckpointStore(disk.root / "model")
        epoch = store.claim_epoch()
        disk.dies_at = "commit_file"
        with suppress(Died):
            store.write(copy, epoch, 0.0)
        assert len([*files.newest_first(store.holdouts)]) == 1
        store = CheckpointStore(disk.root / "model")
        store.write(copy, store.claim_epoch(), 0.0)
    return [Promise(len(disk.moments) - 1, newest_checkpoint, copy.ledger.steps)]


def broken(disk: Disk, promises: list[Promise], scratch: Path) -> list[str]:
    """The promises that some power loss breaks."""
    found, numbers = [], count()
    for moment in range(len(disk.moments)):
        for what in (newest_checkpoint, newest_snapshot):
            made = [one.steps for one in promises if one.what is what and one.moment <= moment]
            directory = disk.rebuilt(moment, scratch / f"{next(numbers)}")
            if (steps := what(directory / "model")) < max(made, default=0):
                found.append(f"after fsync {moment}: {what.__name__} {steps}, not {max(made)}")
    return found


def test_whenever_the_power_is_lost_what_was_committed_is_there(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    promises = a_learners_life(disk)
    assert len(disk.moments) > 40
    assert broken(disk, promises, tmp_path) == []
    assert newest_checkpoint(disk.rebuilt(-1, tmp_path / "last") / "model") == promises[-2].steps


SITES = [
    "write",
    "write_tensors",
    "make_directory",
    "commit_file",
    "CheckpointStore._hold",
    "CheckpointStore.claim_epoch",
    "CheckpointStore.write",
    "CheckpointStore.write",
]
LIVES = (a_learners_life, a_life_cut_short)


def sites(tmp_path: Path) -> list[Site]:
    found: set[Site] = set()
    for number, life in enumerate(LIVES):
        (tmp_path / f"{number}").mkdir(parents=True)
        disk = Disk(tmp_path / f"{number}")
        life(disk)
        found.update(disk.sites)
    return sorted(found)


def test_taking_out_any_one_fsync_breaks_a_promise(tmp_path: Path) -> None:
    found = sites(tmp_path / "sites")
    assert sorted(name for name, _ in found) == sorted(SITES)
    for number, site in enumerate(found):
        broken_in = 0
        for life in LIVES:
            place = tmp_path / f"{number} {life.__name__}"
            (place / "disk").mkdir(parents=True)
            disk = Disk(place / "disk", without=site)
            promises = life(disk)
            broken_in += bool(broken(disk, promises, place))
        assert broken_in, site


def test_a_holdout_file_found_there_is_made_durable_by_who_needs_it(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    assert broken(disk, a_life_cut_short(disk), tmp_path) == []


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
