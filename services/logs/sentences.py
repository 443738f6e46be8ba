"""What happens to a learner, said in a sentence and in fields.

Invariant: an event that comes with every batch has no sentence; in the fields `samples` and `step`
are always those learned so far.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from si_stream import events
from si_stream.brokers.interface import offsets


class Said(NamedTuple):
    """A line of the log: how grave it is, its text, its fields."""

    level: int
    text: str
    fields: dict[str, Any]


def said(event: events.Event) -> Said | None:
    """What the log says of an event; None of those that are left to metrics and journal."""
    found = _SENTENCES.get(type(event))
    if found is None:
        return None
    level, sentence = found
    fields = asdict(event)
    if isinstance(event, events.BatchSkipped | events.BatchQuarantined):
        fields["batch_samples"] = fields.pop("samples")
    return Said(level, sentence(event), {"event": type(event).__name__, **fields})


def _learner_started(event: events.LearnerStarted) -> str:
    return f"epoch {event.epoch} begins at step {event.step}, {event.samples:,} samples"


def _rolled_back(event: events.RolledBack) -> str:
    return f"rolled back to step {event.step}, {event.samples:,} samples, in epoch {event.epoch}"


def _rejected(event: events.Rejected) -> str:
    return f"rejected {event.reason} at offset {event.offset}: {event.detail}"


def _task_opened(event: events.TaskOpened) -> str:
    tasks = "1 task is" if event.known == 1 else f"{event.known} tasks are"
    return (
        f"task {event.task!r} is learned from sample {event.samples:,} on, by head {event.head}; "
        f"{tasks} known"
    )


def _task_goes_on(event: events.TaskGoesOn) -> str:
    return (
        f"task {event.task!r} goes on beyond boundaries.every_samples, since no other may begin: "
        f"{event.known} are known; raise boundaries.max_tasks, and it ends"
    )


def _outputs_opened(event: events.OutputsOpened) -> str:
    labels = ", ".join(map(str, event.labels))
    return f"labels {labels} came to task {event.task!r} for the first time; it has {event.open}"


def _batch_skipped(event: events.BatchSkipped) -> str:
    return (
        f"a batch of {event.samples} samples of task {event.task!r} has changed nothing in the "
        f"{event.track} network, since its loss or gradient was not finite; it ends before "
        f"{offsets(event.behind)}"
    )


def _batch_quarantined(event: events.BatchQuarantined) -> str:
    return (
        f"a batch of {event.samples} samples of task {event.task!r} is passed over, since the "
        f"process died of it again and again; it ends before {offsets(event.behind)}"
    )


def _alarmed(event: events.Alarmed) -> str:
    decision = "taken" if event.decision == "taken" else f"not taken ({event.decision})"
    return (
        f"alarm of {event.signal} at sample {event.sample:,}: cut {event.cut:,}, evidence "
        f"{event.evidence:.1f} nats, {decision}"
    )


def _rewound(event: events.Rewound) -> str:
    return f"rewound to sample {event.samples:,}: {event.again:,} samples are learned again"


def _world_compared(event: events.WorldCompared) -> str:
    measured = f"distance {event.distance:.3g}, limit {event.limit:.3g}"
    if event.returned is None:
        return (
            f"the world that begins at sample {event.sample:,} is new; the nearest is that of task "
            f"{event.nearest!r}: {measured}"
        )
    return (
        f"the world that begins at sample {event.sample:,} is that of task {event.returned!r}, "
        f"which is taken up again: {measured}"
    )


def _evaluated(event: events.Evaluated) -> str:
    return (
        f"accuracy of the {event.track} network on task {event.task!r}: {event.accuracy:.4f} ± "
        f"{event.standard_error:.4f}"
    )


def _consolidated(event: events.Consolidated) -> str:
    figures = "".join(
        f", {name} {value:.4f}"
        for name, value in (
            ("average accuracy", event.average_accuracy),
            ("mean forgetting", event.mean_forgetting),
        )
        if value is not None
    )
    return f"task {event.task!r} has ended in the {event.track} network{figures}"


def _checkpoint_written(event: events.CheckpointWritten) -> str:
    return (
        f"checkpoint of step {event.step} written in {event.seconds:.2f} s, "
        f"{event.bytes / 1e6:.1f} MB"
    )


def _writing_failed(event: events.WritingFailed) -> str:
    return f"a {event.what} is not written, the one before stays the newest: {event.reason}"


def _snapshot_published(event: events.SnapshotPublished) -> str:
    return f"snapshot {event.epoch}.{event.step} published"


def _stream_ended(event: events.StreamEnded) -> str:
    return f"the stream's end is reached at step {event.step}, {event.samples:,} samples"


_SENTENCES: dict[type[events.Event], tuple[int, Callable[[Any], str]]] = {
    events.LearnerStarted: (logging.INFO, _learner_started),
    events.RolledBack: (logging.WARNING, _rolled_back),
    events.Rejected: (logging.WARNING, _rejected),
    events.TaskOpened: (logging.INFO, _task_opened),
    events.TaskGoesOn: (logging.WARNING, _task_goes_on),
    events.OutputsOpened: (logging.INFO, _outputs_opened),
    events.BatchSkipped: (logging.ERROR, _batch_skipped),
    events.BatchQuarantined: (logging.ERROR, _batch_quarantined),
    events.Alarmed: (logging.INFO, _alarmed),
    events.Rewound: (logging.INFO, _rewound),
    events.WorldCompared: (logging.INFO, _world_compared),
    events.Evaluated: (logging.DEBUG, _evaluated),
    events.Consolidated: (logging.INFO, _consolidated),
    events.CheckpointWritten: (logging.DEBUG, _checkpoint_written),
    events.WritingFailed: (logging.ERROR, _writing_failed),
    events.SnapshotPublished: (logging.DEBUG, _snapshot_published),
    events.StreamEnded: (logging.INFO, _stream_ended),
}
