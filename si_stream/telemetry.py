"""Prometheus metrics, fed by the loop's events.

Invariant: labels are bounded (tasks by `boundaries.max_tasks`, layers by the network, reasons and
tracks by their kinds). `docs/metrics.md` says what each is for.
"""

from __future__ import annotations

import time
from functools import singledispatchmethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from si_stream import events

STEP_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Telemetry:
    """Args:
    registry: where the metrics are registered; one a process serves at ``/metrics``.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"si_stream_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"si_stream_{name}", text, labels, registry=registry)

        def age(name: str, text: str) -> None:
            gauge(name, text).set_function(lambda: time.time() - self._last.get(name, self._start))

        self._start = time.time()
        self._last: dict[str, float] = {}
        self._tested: dict[tuple[str, str], tuple[int, float]] = {}

        self.received = counter("received_samples", "Samples taken from the stream.", "role")
        self.rejected = counter("rejected", "Messages or rows not learned from.", "reason")
        self.samples = counter("trained_samples", "Samples tested and then trained on.", "task")
        self.batches = counter("batches", "Batches assembled and trained on.")
        self.steps = counter("steps", "Optimiser steps taken.", "track")
        self.step_seconds = Histogram(
            "si_stream_step_duration_seconds",
            "Testing and training one batch, all tracks.",
            registry=registry,
            buckets=STEP_BUCKETS,
        )
        self.loss = gauge("task_loss", "Mean task loss (nats) of the latest steps.", "track")
        self.surrogate = gauge("surrogate_loss", "Surrogate loss (Eq. 4) now.", "track")
        per_task = ("track", "task")
        self.prequential = gauge(
            "prequential_accuracy_ratio", "Test-then-train accuracy since the start.", *per_task
        )
        self.holdout = gauge("holdout_accuracy_ratio", "Latest holdout accuracy.", *per_task)
        self.error = gauge(
            "holdout_standard_error_ratio", "Standard error of the holdout accuracy.", *per_task
        )
        self.holdout_samples = gauge("holdout_samples", "Samples in the holdout set.", "task")
        self.forgetting = gauge(
            "forgetting_ratio", "Best holdout accuracy at a boundary less the latest.", *per_task
        )
        self.average = gauge("average_accuracy_ratio", "At the last boundary, all tasks.", "track")
        self.mean_forgetting = gauge(
            "mean_forgetting_ratio", "At the last boundary, tasks before the last.", "track"
        )
        self.transfer = gauge(
            "backward_transfer_ratio", "At the last boundary (Lopez-Paz & Ranzato).", "track"
        )
        self.consolidations = counter("consolidations", "Tasks ended and consolidated.")
        self.tasks = gauge("tasks", "Tasks opened so far.")
        self.active = Info("si_stream_active_task", "The task in training.", registry=registry)
        self.importance = gauge("importance_norm", "L2 norm of a layer's Ω.", "track", "layer")
        self.drift = gauge(
            "drift_norm", "L2 norm of a layer's way from its reference weights.", "track", "layer"
        )
        self.lag = gauge(
            "lag_messages", "Messages in the stream behind the learner's position.", "partition"
        )
        self.epoch = gauge("epoch", "Epoch that this learner writes its checkpoints in.")
        self.refused = counter("checkpoints_refused", "Damaged checkpoints passed over.")
        self.checkpoint_seconds = gauge(
            "checkpoint_duration_seconds", "Time taken by the latest checkpoint."
        )
        self.checkpoint_bytes = gauge("checkpoint_bytes", "Size of the latest checkpoint.")
        self.snapshot_step = gauge("snapshot_step", "Step of the latest snapshot.")
        age("checkpoint_age_seconds", "Since the latest checkpoint (or the start).")
        age("snapshot_age_seconds", "Since the latest snapshot (or the start).")
        age("position_age_seconds", "Since the latest message taken in was appended.")

    @singledispatchmethod
    def hear(self, event: events.Event) -> None:
        """Take note of an event of the loop."""

    @hear.register
    def _(self, event: events.BatchLearned) -> None:
        self.samples.labels(event.task).inc(event.samples)
        self.batches.inc()
        self.step_seconds.observe(event.seconds)

    @hear.register
    def _(self, event: events.Received) -> None:
        self.received.labels(event.role).inc(event.samples)
        self._last["position_age_seconds"] = event.timestamp_seconds

    @hear.register
    def _(self, event: events.Rejected) -> None:
        self.rejected.labels(event.reason).inc()

    @hear.register
    def _(self, event: events.TaskOpened) -> None:
        self.tasks.set(event.number + 1)
        self.active.info({"task": event.task})

    @hear.register
    def _(self, event: events.Progress) -> None:
        key = (event.track, event.task)
        tested, loss = self._tested.get(key, (0, 0.0))
        if event.tested > tested:
            self.loss.labels(event.track).set((event.loss - loss) / (event.tested - tested))
        self._tested[key] = (event.tested, event.loss)
        self.surrogate.labels(event.track).set(event.surrogate_loss)
        self.prequential.labels(*key).set(1.0 - event.wrong / event.tested)

    @hear.register
    def _(self, event: events.Evaluated) -> None:
        key = (event.track, event.task)
        self.holdout.labels(*key).set(event.accuracy)
        self.error.labels(*key).set(event.standard_error)
        self.holdout_samples.labels(event.task).set(event.holdout_samples)
        if event.forgetting is not None:
            self.forgetting.labels(*key).set(event.forgetting)

    @hear.register
    def _(self, event: events.Consolidated) -> None:
        if event.track == "main":
            self.consolidations.inc()
        for gauge, value in (
            (self.average, event.average_accuracy),
            (self.mean_forgetting, event.mean_forgetting),
            (self.transfer, event.backward_transfer),
        ):
            if value is not None:
                gauge.labels(event.track).set(value)

    @hear.register
    def _(self, event: events.LayerMeasured) -> None:
        self.importance.labels(event.track, event.layer).set(event.importance)
        self.drift.labels(event.track, event.layer).set(event.drift)

    @hear.register
    def _(self, event: events.CheckpointWritten) -> None:
        self.checkpoint_seconds.set(event.seconds)
        self.checkpoint_bytes.set(event.bytes)
        self._last["checkpoint_age_seconds"] = time.time()

    @hear.register
    def _(self, event: events.SnapshotPublished) -> None:
        self.epoch.set(event.epoch)
        self.snapshot_step.set(event.step)
        self._last["snapshot_age_seconds"] = time.time()
