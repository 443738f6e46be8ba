"""The vital signs of a learner: what its status tells beside its state.

Invariant: they are taken from what the learner says of itself anyway; taking them changes nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.metadata import version

from services.awaited import AwaitedPartition
from services.learner_status import Kind, LastCheckpoint, LastSnapshot, LearnerStatus
from services.pace import WINDOW_SECONDS, Pace
from si_stream import events
from si_stream.checkpoints.store import Manifest
from si_stream.settings import Settings
from si_stream.state import State


class VitalSigns:
    """Attributes:
    lag: by partition, messages behind the position, as last measured.
    metrics_address: set once it is known.
    stopped: set when all that can be saved is.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lag: Mapping[int, int] = {}
        self.metrics_address: str | None = None
        self.stopped = False
        self._started_seconds = time.time()
        self._pace = Pace()
        self._busy_seconds = time.monotonic()  # of the last batch, whatever is done to the clock
        self._last_batch_seconds: float | None = None
        self._checkpoint: LastCheckpoint | None = None
        self._snapshot: LastSnapshot | None = None

    def resume(self, manifest: Manifest) -> None:
        """A checkpoint is gone on from."""
        self._checkpoint = LastCheckpoint(
            step=manifest.ledger.steps,
            samples=manifest.ledger.samples,
            written_seconds=manifest.written_seconds,
            duration_seconds=None,
            bytes=None,
        )

    def hear(self, event: events.Event) -> None:
        now = time.time()
        match event:
            case events.BatchLearned():
                self._pace.learned(event.samples)
                self._last_batch_seconds = now
                self._busy_seconds = time.monotonic()
            case events.CheckpointWritten():
                self._checkpoint = LastCheckpoint(
                    step=event.step,
                    samples=event.samples,
                    written_seconds=now,
                    duration_seconds=event.seconds,
                    bytes=event.bytes,
                )
            case events.SnapshotPublished():
                self._snapshot = LastSnapshot(step=event.step, written_seconds=now)

    def status(self, state: State, epoch: int, awaited: AwaitedPartition) -> LearnerStatus:
        """As of now, from any thread."""
        settings, ledger, active = self.settings, state.ledger, state.ledger.tasks.active
        waiting, now, rates = awaited.waiting(), time.time(), self._pace.rates()
        status: Kind = "learning"
        if self.stopped:
            status = "stopped"
        elif waiting:
            status = "waiting"
        elif time.monotonic() - self._busy_seconds > WINDOW_SECONDS:
            status = "idle"
        return LearnerStatus(
            version=version("si-stream"),
            written_seconds=now,
            started_seconds=self._started_seconds,
            pid=os.getpid(),
            status=status,
            model=settings.model.name,
            stream=settings.stream.name,
            network=settings.model.network.kind,
            consolidator=settings.consolidator.kind,
            strength=settings.consolidator.strength,
            detector=settings.detection.kind,
            shadow=settings.learner.shadow,
            device=str(state.main.learner.device),
            epoch=epoch,
            step=ledger.steps,
            samples=ledger.samples,
            active_task=active.name if active else None,
            awaited_partition=waiting,
            position={p: (place.offset, place.row) for p, place in dict(ledger.position).items()},
            lag_messages=dict(self.lag),
            steps_per_second=rates.steps,
            samples_per_second=rates.samples,
            last_batch_seconds=self._last_batch_seconds,
            checkpoint=self._checkpoint,
            snapshot=self._snapshot,
            skipped_batches=ledger.skipped,
            quarantined_batches=len(ledger.quarantined),
            metrics_address=self.metrics_address,
        )
