"""Prometheus metrics, fed by the loop's events.

Invariant: labels are bounded (tasks by `boundaries.max_tasks`, layers by the network, reasons and
tracks by their kinds). `docs/metrics.md` says what each is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from si_stream import events
from si_stream.errors import Reason
from si_stream.evaluation.answers import unpaired_error
from si_stream.messages.kinds import Role

if TYPE_CHECKING:
    from si_stream.evaluation.measures import Measures
    from si_stream.state import Ledger

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
        self._awaited: tuple[int | None, float] = (None, self._start)
        self._asked: float | None = None
        self._head_of: dict[str, int] = {}

        self.received = counter("received_samples", "Samples taken from the stream.", "role")
        self.rejected = counter("rejected", "Messages or rows not learned from.", "reason")
        self.samples = counter("trained_samples", "Samples tested and then trained on.", "task")
        self.batches = counter("batches", "Batches assembled and trained on.")
        self.skipped = counter(
            "skipped_batches", "Batches whose loss or gradient was not a finite number.", "track"
        )
        self.quarantined = counter(
            "quarantined_batches", "Batches passed over that the process had died of repeatedly."
        )
        self.alarms = counter(
            "detector_alarms",
            "Times that a signal, such as errors, rose, and what followed.",
            "signal",
            "decision",
        )
        self.compared = counter(
            "worlds_compared",
            "Boundaries behind which the first samples were held against the known tasks.",
            "outcome",
        )
        self.step = gauge("step", "Optimiser steps in the model's life.")
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
        self.holdout_age = gauge(
            "holdout_age_seconds", "Since the task's holdout accuracy was measured.", "task"
        )
        self.forgetting = gauge(
            "forgetting_ratio", "Best holdout accuracy at a boundary less the latest.", *per_task
        )
        self.forgetting_error = gauge(
            "forgetting_standard_error_ratio",
            "Standard error of the forgetting, a difference over the same holdout samples.",
            *per_task,
        )
        self.average = gauge("average_accuracy_ratio", "At the last boundary, all tasks.", "track")
        self.mean_forgetting = gauge(
            "mean_forgetting_ratio", "At the last boundary, tasks before the last.", "track"
        )
        self.transfer = gauge(
            "backward_transfer_ratio", "At the last boundary (Lopez-Paz & Ranzato).", "track"
        )
        self.speed = gauge(
            "plasticity_speed_ratio",
            "Early test-then-train accuracy of the newest task that ended, to the first tasks'.",
            "track",
        )
        self.level = gauge(
            "plasticity_level_ratio",
            "Holdout accuracy of the newest task when it ended, to the first tasks'.",
            "track",
        )
        self.consolidations = counter("consolidations", "Tasks ended and consolidated.")
        self.tasks = gauge("tasks", "Tasks opened so far.")
        self.open_outputs = gauge(
            "open_outputs", "Outputs that the task's head has open, where labels are.", "task"
        )
        self.active = Info("si_stream_active_task", "The task in training.", registry=registry)
        self.importance = gauge("importance_norm", "L2 norm of a layer's Ω.", "track", "layer")
        self.drift = gauge(
            "drift_norm", "L2 norm of a layer's way from its reference weights.", "track", "layer"
        )
        self.lag = gauge(
            "lag_messages", "Messages in the stream behind the learner's position.", "partition"
        )
        self.away = gauge(
            "broker_away_seconds",
            "Since the broker was asked for the stream's ends and said none; 0 while it answers.",
        )
        self.away.set_function(self._broker_away_seconds)
        self.awaited = gauge(
            "partition_awaited_seconds",
            "Since others wait for the partition to have a message; 0 while none does.",
            "partition",
        )
        self.epoch = gauge("epoch", "Epoch that this learner writes its checkpoints in.")
        self.refused = counter("checkpoints_refused", "Damaged checkpoints passed over.")
        self.failures = counter(
            "writing_failures", "Checkpoints or snapshots that could not be written.", "what"
        )
        self.retention = gauge(
            "retention_margin_ratio",
            "Of what the broker keeps of the partition, the share before the oldest checkpoint's "
            "position; near 0 that checkpoint will soon be of no use.",
            "partition",
        )
        self.checkpoint_seconds = gauge(
            "checkpoint_duration_seconds", "Time taken to write the latest checkpoint."
        )
        self.checkpoint_copy_seconds = gauge(
            "checkpoint_stall_seconds", "Time that learning waited for the latest checkpoint."
        )
        self.checkpoint_bytes = gauge("checkpoint_bytes", "Size of the latest checkpoint.")
        self.snapshot_step = gauge("snapshot_step", "Step of the latest snapshot.")
        age("checkpoint_age_seconds", "Since a checkpoint held all that was learned.")
        age("snapshot_age_seconds", "Since a snapshot held all that was learned.")
        age("position_age_seconds", "Since the latest message taken in was appended.")

        # Zero from the start on, for alerts: a counter that first appears as 1 has not risen.
        for role in get_args(Role):
            self.received.labels(role)
        for reason in Reason:
            self.rejected.labels(reason)
        for what in ("checkpoint", "snapshot"):
            self.failures.labels(what)
        self.skipped.labels("main")

        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.BatchLearned: self._batch_learned,
            events.OutputsOpened: self._outputs_opened,
            events.BatchSkipped: self._batch_skipped,
            events.BatchQuarantined: self._batch_quarantined,
            events.Alarmed: self._alarmed,
            events.WorldCompared: self._world_compared,
            events.Received: self._received,
            events.Rejected: self._rejected,
            events.Awaiting: self._awaiting,
            events.TaskOpened: self._task_opened,
            events.Progress: self._progress,
            events.Evaluated: self._evaluated,
            events.Consolidated: self._consolidated,
            events.LayerMeasured: self._layer_measured,
            events.CheckpointWritten: self._checkpoint_written,
            events.WritingFailed: self._writing_failed,
            events.SnapshotPublished: self._snapshot_published,
        }

    def is_current(self, what: Literal["checkpoint", "snapshot"], at_seconds: float) -> None:
        """It holds all that had been learned at that time (Unix)."""
        self._last[f"{what}_age_seconds"] = at_seconds

    def asks_broker(self) -> None:
        """It is to say the stream's ends: from the first time on that it does not, it is away."""
        if self._asked is None:
            self._asked = time.time()

    def hears_broker(self) -> None:
        self._asked = None

    def watch_signals(self, signals: Iterable[str]) -> None:
        """Count their alarms from zero on, whatever comes of them: else the first has not risen."""
        for signal in signals:
            for decision in get_args(events.Decision):
                self.alarms.labels(signal, decision)

    def watch_partitions(self, count: int) -> None:
        """Show of so many partitions for how long each has been awaited."""
        for partition in range(count):
            shown = partial(self._awaited_seconds, partition)
            self.awaited.labels(partition).set_function(shown)

    def resume(
        self, ledger: Ledger, measures: Mapping[str, Measures], saved_seconds: float
    ) -> None:
        """Show at once what was known when the learner stopped.

        Args:
            saved_seconds: when that was saved (Unix time). Holdouts were measured before.
        """
        self.step.set(ledger.steps)
        self.tasks.set(len(ledger.tasks.known))
        self._head_of = {task.name: task.head for task in ledger.tasks.known}
        for task in ledger.tasks.known:
            if task.head in ledger.open_labels:
                self.open_outputs.labels(task.name).set(len(ledger.open_labels[task.head]))
        if ledger.tasks.active:
            self.active.info({"task": ledger.tasks.active.name})
        for track, measured in measures.items():
            matrix = measured.accuracy
            for task in ledger.tasks.known:
                if live := measured.live.get(task.name):
                    forgetting, error = live.forgetting, live.forgetting_standard_error
                    if forgetting is None:  # of an older version, or at the task's first boundary
                        forgetting = matrix.forgetting(task.number, now=live.accuracy)
                    if forgetting is not None and error is None:  # without it no alert would fire
                        best = min(1.0, live.accuracy + forgetting)  # rounding may make it more
                        error = unpaired_error(best, live.accuracy, live.samples)
                    figures = (live.accuracy, live.standard_error, live.samples)
                    forgotten = (forgetting, error)
                    self._show_holdout(track, task.name, *figures, *forgotten)
                    self._show_holdout_age(track, task.name, saved_seconds)
                if tested := measured.prequential.tasks.get(task.name):
                    self._tested[track, task.name] = (tested.samples, tested.loss)
                    self._show_prequential(track, task.name, tested.wrong, tested.samples)
            self._sum_up(
                track,
                matrix.average_accuracy(),
                matrix.mean_forgetting(),
                matrix.backward_transfer(),
                measured.plasticity.speed(),
                measured.plasticity.level(),
            )

    def hear(self, event: events.Event) -> None:
        """Take note of an event of the loop."""
        if handler := self._handlers.get(type(event)):
            handler(event)

    def _batch_learned(self, event: events.BatchLearned) -> None:
        self.samples.labels(event.task).inc(event.samples)
        self.batches.inc()
        self.step.set(event.step)
        self.step_seconds.observe(event.seconds)

    def _outputs_opened(self, event: events.OutputsOpened) -> None:
        self._show_open_outputs(event.task, event.open)

    def _batch_skipped(self, event: events.BatchSkipped) -> None:
        self.skipped.labels(event.track).inc()

    def _batch_quarantined(self, event: events.BatchQuarantined) -> None:
        self.quarantined.inc()

    def _alarmed(self, event: events.Alarmed) -> None:
        self.alarms.labels(event.signal, event.decision).inc()

    def _world_compared(self, event: events.WorldCompared) -> None:
        self.compared.labels("returned" if event.returned else "new").inc()

    def _writing_failed(self, event: events.WritingFailed) -> None:
        self.failures.labels(event.what).inc()

    def _received(self, event: events.Received) -> None:
        self.received.labels(event.role).inc(event.samples)
        self._last["position_age_seconds"] = event.timestamp_seconds

    def _rejected(self, event: events.Rejected) -> None:
        self.rejected.labels(event.reason).inc()

    def _awaiting(self, event: events.Awaiting) -> None:
        self._awaited = (event.partition, time.time())

    def _awaited_seconds(self, partition: int) -> float:
        awaited, since = self._awaited
        return time.time() - since if partition == awaited else 0.0

    def _broker_away_seconds(self) -> float:
        asked = self._asked  # another thread may hear the broker meanwhile
        return 0.0 if asked is None else time.time() - asked

    def _task_opened(self, event: events.TaskOpened) -> None:
        self.tasks.set(event.known)
        self._head_of[event.task] = event.head
        self.active.info({"task": event.task})

    def _progress(self, event: events.Progress) -> None:
        key = (event.track, event.task)
        tested, loss = self._tested.get(key, (0, 0.0))
        if event.tested > tested:
            self.loss.labels(event.track).set((event.loss - loss) / (event.tested - tested))
        self._tested[key] = (event.tested, event.loss)
        self.surrogate.labels(event.track).set(event.surrogate_loss)
        self._show_prequential(event.track, event.task, event.wrong, event.tested)
        if event.open_outputs is not None:
            self._show_open_outputs(event.task, event.open_outputs)

    def _evaluated(self, event: events.Evaluated) -> None:
        figures = (event.accuracy, event.standard_error, event.holdout_samples)
        forgotten = (event.forgetting, event.forgetting_standard_error)
        self._show_holdout(event.track, event.task, *figures, *forgotten)
        self._show_holdout_age(event.track, event.task, time.time())

    def _consolidated(self, event: events.Consolidated) -> None:
        if event.track == "main":
            self.consolidations.inc()
        self._sum_up(
            event.track,
            event.average_accuracy,
            event.mean_forgetting,
            event.backward_transfer,
            event.plasticity_speed,
            event.plasticity_level,
        )

    def _layer_measured(self, event: events.LayerMeasured) -> None:
        self.importance.labels(event.track, event.layer).set(event.importance)
        self.drift.labels(event.track, event.layer).set(event.drift)

    def _checkpoint_written(self, event: events.CheckpointWritten) -> None:
        self.checkpoint_seconds.set(event.seconds)
        self.checkpoint_bytes.set(event.bytes)

    def _snapshot_published(self, event: events.SnapshotPublished) -> None:
        self.epoch.set(event.epoch)
        self.snapshot_step.set(event.step)

    def _show_open_outputs(self, task: str, count: int) -> None:
        """Of all tasks that have the same head."""
        for other, head in self._head_of.items():
            if head == self._head_of[task]:
                self.open_outputs.labels(other).set(count)

    def _show_prequential(self, track: str, task: str, wrong: int, tested: int) -> None:
        if tested:  # of a task may have come nothing but what was skipped
            self.prequential.labels(track, task).set(1.0 - wrong / tested)

    def _show_holdout(
        self,
        track: str,
        task: str,
        accuracy: float,
        standard_error: float,
        samples: int,
        forgetting: float | None,
        forgetting_error: float | None,
    ) -> None:
        self.holdout.labels(track, task).set(accuracy)
        self.error.labels(track, task).set(standard_error)
        self.holdout_samples.labels(task).set(samples)
        if forgetting is not None:
            self.forgetting.labels(track, task).set(forgetting)
        if forgetting_error is not None:
            self.forgetting_error.labels(track, task).set(forgetting_error)

    def _show_holdout_age(self, track: str, task: str, measured_seconds: float) -> None:
        if track == "main":
            shown = partial(_since, measured_seconds)
            self.holdout_age.labels(task).set_function(shown)

    def _sum_up(self, track: str, *figures: float | None) -> None:
        """At the last boundary: average accuracy, forgetting, transfer, plasticity's two."""
        gauges = (self.average, self.mean_forgetting, self.transfer, self.speed, self.level)
        for gauge, value in zip(gauges, figures, strict=True):
            if value is not None:
                gauge.labels(track).set(value)


def _since(seconds: float) -> float:
    return time.time() - seconds
