"""The points that a learner can be killed at, named; and the tracing that knows when it is there.

Only the calls of functions are watched, from outside: the service that is killed is the real one.
What is fsynced is known by `/proc`, so this is for Linux. Invariant: a life that is to die at a
point dies there or comes to its end, which its harness tells apart.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from enum import StrEnum
from functools import wraps
from pathlib import Path
from threading import Event
from typing import Any

import safetensors.torch

import services.learner
from services.learner_host import LearnerHost
from si_stream.batches import Batch
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Reader
from si_stream.checkpoints import files
from si_stream.checkpoints.store import MANIFEST, STATE, CheckpointStore
from si_stream.dead_letters import DeadLetters
from si_stream.learning.learner import Learner
from si_stream.learning.optimisers import Optimiser
from si_stream.state import Ledger
from si_stream.tracks import Track
from tests.crashes.trace import Activity, Slot, Trace


class Point(StrEnum):
    BEFORE_FIRST_CHECKPOINT = "before the first checkpoint"
    CHECKPOINT_READ = "during recovery, the checkpoint read"
    CHECKPOINT_LOADED = "during recovery, its tensors loaded"
    EPOCH_CLAIMED = "during recovery, an epoch claimed"
    AFTER_POLL = "after a poll"
    IN_PAUSE = "in the pause before a suspect batch"
    MID_STEP = "in the middle of a step"
    BEFORE_CONSOLIDATION = "before a consolidation"
    AFTER_CONSOLIDATION = "after a consolidation"
    LETTERS_WRITTEN = "after the dead letters, before their checkpoint"
    TEMPORARY_WRITTEN = "after the temporary write"
    BEFORE_HOLDOUT_FSYNC = "before the fsync of a holdout file"
    AFTER_HOLDOUT_FSYNC = "after the fsync of a holdout file"
    BEFORE_TENSORS_FSYNC = "before the fsync of the tensors"
    AFTER_TENSORS_FSYNC = "after the fsync of the tensors"
    BEFORE_MANIFEST_FSYNC = "before the fsync of the manifest"
    AFTER_MANIFEST_FSYNC = "after the fsync of the manifest"
    BEFORE_RENAME = "before the rename"
    AFTER_RENAME = "after the rename"
    AFTER_DIRECTORY_FSYNC = "after the fsync of the directory"
    AFTER_COMMIT = "after the commit"
    WHILE_PRUNING = "while pruning, a checkpoint renamed"
    HALF_REMOVED = "while pruning, a checkpoint removed by half"


Act = Callable[..., object]


def around(
    owner: object, name: str, *, before: Act | None = None, after: Act | None = None
) -> None:
    """Have a function of an object's do more: ``before`` is given its arguments, ``after`` them and
    then what it returned."""
    original = getattr(owner, name)

    @wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args)
        returned = original(*args, **kwargs)
        if after is not None:
            after(*args, returned)
        return returned

    setattr(owner, name, watched)


class Watch:
    """Args:
    trace: is told what the process is doing.
    dies_at: the point to kill the process at, when it comes there this many times.
    poison: the numbers of samples (as `tests.streams.samples` counts) whose batches kill.
    """

    def __init__(
        self, trace: Trace, *, dies_at: Point | None, occurrence: int, poison: Collection[int]
    ) -> None:
        self.trace = trace
        self.dies_at = dies_at
        self.left = occurrence
        self.poison = frozenset(poison)

    def at(self, point: Point) -> None:
        if point is self.dies_at:
            self.left -= 1
            if self.left == 0:
                self.trace[Slot.POINTS] = 1
                die()

    def doing(self, activity: Activity) -> Act:
        def note(*_: object) -> None:
            self.trace[Slot.ACTIVITY] = activity

        return note

    def reaching(self, point: Point) -> Act:
        return lambda *_: self.at(point)

    def begin(self) -> None:
        """Watch from now on; for good, in a process that is to be killed."""
        self._watch_learning()
        self._watch_recovery()
        self._watch_checkpoints()
        self._watch_files()
        self.trace[Slot.BEGUN] = 1

    def _watch_learning(self) -> None:
        around(EmbeddedBroker, "reader", after=self._watch_reader)
        around(Track, "learn", before=self._learn)
        around(Optimiser, "update", after=self.reaching(Point.MID_STEP))
        around(Ledger, "learned", after=self._learned)
        around(Track, "consolidate", before=self._consolidate, after=self._consolidated)
        watch = self

        class Pausing(Event):
            def wait(self, timeout: float | None = None) -> bool:
                watch.doing(Activity.PAUSE)()
                watch.at(Point.IN_PAUSE)
                return super().wait(timeout)

        setattr(services.learner, "Event", Pausing)  # noqa: B010 - mypy: it is a type

    def _watch_reader(
        self, _broker: object, _stream: str, _offsets: object, reader: Reader
    ) -> None:
        def polled(*args: Any) -> None:
            if args[-1]:
                self.at(Point.AFTER_POLL)

        around(reader, "poll", after=polled)

    def _learn(self, _track: Track, batch: Batch) -> None:
        self.trace[Slot.ACTIVITY] = Activity.STEP
        if self.poison:
            samples = batch.inputs.flatten(1).int()
            if not self.poison.isdisjoint((samples[:, 0] + 256 * samples[:, 1]).tolist()):
                die()

    def _learned(self, ledger: Ledger, *_: object) -> None:
        trace = self.trace
        trace[Slot.STEPS_HERE] += 1
        trace[Slot.STEPS] = ledger.steps
        trace[Slot.ACTIVITY] = Activity.BETWEEN
        if trace[Slot.STEPS_HERE] == ledger.steps and not trace[Slot.COMMITS]:
            self.at(Point.BEFORE_FIRST_CHECKPOINT)

    def _consolidate(self, *_: object) -> None:
        self.at(Point.BEFORE_CONSOLIDATION)
        self.trace[Slot.ACTIVITY] = Activity.CONSOLIDATION

    def _consolidated(self, *_: object) -> None:
        self.trace[Slot.ACTIVITY] = Activity.BETWEEN
        self.at(Point.AFTER_CONSOLIDATION)

    def _watch_recovery(self) -> None:
        recovering, between = self.doing(Activity.RECOVERING), self.doing(Activity.BETWEEN)
        around(LearnerHost, "resume", before=recovering, after=between)
        around(LearnerHost, "finish", before=self.doing(Activity.FINISHING))
        around(CheckpointStore, "newest", after=self.reaching(Point.CHECKPOINT_READ))
        around(Learner, "load_state", after=self.reaching(Point.CHECKPOINT_LOADED))
        around(CheckpointStore, "claim_epoch", after=self.reaching(Point.EPOCH_CLAIMED))

    def _watch_checkpoints(self) -> None:
        def write(*_: object) -> None:
            self.trace[Slot.WRITING] = 1

        def written(*_: object) -> None:
            self.trace[Slot.COMMITS] += 1
            self.trace[Slot.WRITING] = 0
            self.at(Point.AFTER_COMMIT)

        def prune(*_: object) -> None:
            self.trace[Slot.PRUNING] = 1

        def pruned(*_: object) -> None:
            self.trace[Slot.PRUNING] = 0

        around(DeadLetters, "flush", after=self.reaching(Point.LETTERS_WRITTEN))
        around(CheckpointStore, "write", before=write, after=written)
        around(CheckpointStore, "prune", before=prune, after=pruned)

    def _watch_files(self) -> None:
        around(safetensors.torch, "save_file", after=self.reaching(Point.TEMPORARY_WRITTEN))
        around(os, "fsync", before=self._fsync, after=self._fsynced)
        around(os, "rename", before=self._rename, after=self._renamed)
        around(os, "unlink", after=self._unlinked)

    def _fsync(self, descriptor: int) -> None:
        self._at_one(BEFORE_FSYNC, kind(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def _fsynced(self, descriptor: int, _: object) -> None:
        self._at_one(AFTER_FSYNC, kind(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def _at_one(self, points: dict[str, Point], what: str) -> None:
        if what in points:
            self.at(points[what])

    def _rename(self, _source: object, target: Path) -> None:
        if is_checkpoint(target):
            self.at(Point.BEFORE_RENAME)

    def _renamed(self, source: Path, target: Path, _: object) -> None:
        if is_checkpoint(target):
            self.at(Point.AFTER_RENAME)
        elif is_checkpoint(source):
            self.at(Point.WHILE_PRUNING)

    def _unlinked(self, path: object, *_: object) -> None:
        if self.trace[Slot.PRUNING] and str(path) in {STATE, MANIFEST}:
            self.at(Point.HALF_REMOVED)


BEFORE_FSYNC = {
    "holdout": Point.BEFORE_HOLDOUT_FSYNC,
    "tensors": Point.BEFORE_TENSORS_FSYNC,
    "manifest": Point.BEFORE_MANIFEST_FSYNC,
}
AFTER_FSYNC = {
    "holdout": Point.AFTER_HOLDOUT_FSYNC,
    "tensors": Point.AFTER_TENSORS_FSYNC,
    "manifest": Point.AFTER_MANIFEST_FSYNC,
    "directory": Point.AFTER_DIRECTORY_FSYNC,
}


def kind(path: Path) -> str:
    """What of a checkpoint lies at a path."""
    if path.name == "checkpoints":
        return "directory"
    if path.parent.name == "holdouts":
        return "holdout"
    return {STATE: "tensors", MANIFEST: "manifest"}.get(path.name, "other")


def is_checkpoint(path: Path) -> bool:
    return path.parent.name == "checkpoints" and files.parse_name(path) is not None


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
