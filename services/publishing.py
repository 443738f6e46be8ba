"""Snapshots beside learning: the weights copied between two batches, written on another thread.

Invariant: learning waits for the copy alone. One that cannot be written leaves the one before to
predictors, and the next one is tried.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import torch

from services.background import Background
from services.choosing import Choosing
from services.snapshotting import choosable, make_snapshot
from si_stream import events
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import CheckpointError, Superseded
from si_stream.settings import Settings
from si_stream.state import State
from si_stream.telemetry import Telemetry


class Publishing:
    """Args:
    checkpoints: asked whether the epoch is there, and still the newest.
    """

    def __init__(
        self, settings: Settings, checkpoints: CheckpointStore, telemetry: Telemetry
    ) -> None:
        self.keep = settings.snapshots.keep
        self.checkpoints = checkpoints
        self.snapshots = SnapshotStore(settings.directory)
        self.telemetry = telemetry
        self._background = Background("snapshots", limit=2)
        self._choosing = Choosing()
        self._told: deque[events.Event] = deque()

    @property
    def is_idle(self) -> bool:
        return self._background.is_idle

    def begin(self, state: State, epoch: int) -> None:
        """Copy what predictors need, and have the copy published.

        What tasks are chosen by is worked out of the copy, on the other thread.
        """
        self._background.wait_for_room()
        ledger, tensors = state.ledger, state.main.learner.state()
        place = (state.settings.model, ledger, state.measures(), tensors)
        snapshot = make_snapshot(*place, epoch, time.time())
        manifest, known = snapshot.manifest, [*ledger.tasks.known]
        material, threads = self._choosing.of(state), torch.get_num_threads()

        def job() -> None:
            torch.set_num_threads(threads)  # each thread must be told, or takes all cores
            try:
                whole = choosable(snapshot, known, material.chooser())
                self.checkpoints.require(epoch)  # last: `publish` would make what is gone
                self.snapshots.publish(whole, self.keep)
            except Superseded:
                raise
            except CheckpointError as error:
                self._told.append(events.WritingFailed("snapshot", str(error)))
                return
            self._told.append(events.SnapshotPublished(epoch, manifest.step, manifest.samples))
            self.telemetry.is_current("snapshot", manifest.written_seconds)

        self._background.start(job)

    def finished(self) -> Iterator[events.Event]:
        """What has become of snapshots since this was last asked."""
        while self._told:
            yield self._told.popleft()

    def wait(self, seconds: float) -> bool:
        """Whether all that was begun has ended in time, well or not."""
        return self._background.wait(seconds)

    def close(self) -> None:
        self._background.close()
