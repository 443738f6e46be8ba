"""A writer stopped in the middle of a commit, and woken up after another has taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from si_stream.checkpoints.store import CheckpointStore
from tests.checkpoints.test_store import copy_after

FSYNCS = 9  # of a commit with a new holdout: two directories on the way, and a prune


def write_and_stop_at(directory: Path, epoch: int, fsync: int) -> NoReturn:
    """In a process of its own: commit a checkpoint, and stop at its n-th fsync."""
    real, calls = os.fsync, iter(range(10**6))

    def stopping(descriptor: int) -> None:
        if next(calls) == fsync:
            os.kill(os.getpid(), signal.SIGSTOP)
        real(descriptor)

    os.fsync = stopping  # type: ignore[assignment]
    try:
        store = CheckpointStore(directory)
        store.write(copy_after(400, holdouts=5), epoch, 0.0)
        store.prune(epoch, 1, 0)
    finally:
        os._exit(0)


def take_over_at_each_fsync(directory: Path) -> None:
    """What the test runs in a process with one thread, which may fork."""
    stopped = 0
    for fsync in range(FSYNCS):
        place = directory / str(fsync)
        store = CheckpointStore(place)
        epoch = store.claim_epoch()
        store.write(copy_after(20), epoch, 0.0)
        child = os.fork()
        if child == 0:
            write_and_stop_at(place, epoch, fsync)
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            continue  # there were fewer
        stopped += 1
        mine, _ = store.write(copy_after(60, holdouts=4), store.claim_epoch(), 0.0)
        os.kill(child, signal.SIGCONT)
        assert os.waitpid(child, 0)[1] == 0
        found = CheckpointStore(place)
        assert next(found.newest_first()) == mine
        newest = found.newest()
        assert newest is not None
        assert newest.manifest.epoch == 2
        assert found.refused == 0
    print(stopped)


def test_its_checkpoint_never_becomes_the_newest_wherever_it_was_stopped(tmp_path: Path) -> None:
    run = "from pathlib import Path; import sys, torch; torch.set_num_threads(1);"
    run += "from tests.checkpoints.test_stopped_writer import take_over_at_each_fsync as check;"
    finished = subprocess.run(
        [sys.executable, "-c", f"{run} check(Path(sys.argv[1]))", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) >= 6  # holdout, its directory, tensors, manifest, two directories
