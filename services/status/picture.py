"""The state of a service as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from services.learner_status import LearnerStatus
from services.quantities import megabytes, seconds
from services.status.seen import Knowledge, SeenLearner, SeenPredictor, ServiceStatus
from si_stream.brokers.interface import Position, offsets

WELL, DOUBTFUL, ILL = "green", "yellow", "bold red"
MANY_TASKS = 40


def picture(seen: ServiceStatus, now_seconds: float) -> Group:
    rows = Table(box=None, show_header=False, pad_edge=False)
    for name, text in (*_learner(seen.learner, now_seconds), *_predictor(seen.predictor)):
        rows.add_row(Text(name, style="bold"), text)
    return Group(rows, *_knowledge(seen.knowledge))


def _learner(seen: SeenLearner, now_seconds: float) -> Iterator[tuple[str, Text]]:
    status = seen.status
    if status is None:
        yield "learner", Text(f"none: {seen.problem}", style=ILL)
        return
    if seen.problem:
        yield "learner", Text(seen.problem, style=ILL)
    else:
        up = seconds(max(0.0, now_seconds - status.started_seconds))
        who = f"  process {status.pid}, up {up}, epoch {status.epoch}, si-stream {status.version}"
        yield "learner", Text.assemble((status.status, WELL), who)
    detector = "boundaries told" if status.detector == "off" else f"detector {status.detector}"
    shadow = "no shadow" if status.shadow == "off" else f"shadow {status.shadow}"
    yield (
        "model",
        Text(
            f"{status.model}: {status.network} with {status.consolidator}, strength "
            f"{status.strength:g}, {detector}, {shadow}, on {status.device}"
        ),
    )
    yield "task", Text(status.active_task or "none, at a boundary")
    for name, text in _progress(status, now_seconds):
        yield name, Text(text)
    if status.awaited_partition:
        awaited = status.awaited_partition
        text = f"for partition {awaited.partition}, since {seconds(awaited.seconds)}"
        yield "waiting", Text(text, style=DOUBTFUL)
    faults = status.skipped_batches + status.quarantined_batches
    yield (
        "faults",
        Text(
            f"{status.skipped_batches} batches not finite, {status.quarantined_batches} in "
            "quarantine",
            style=DOUBTFUL if faults else "",
        ),
    )


def _progress(status: LearnerStatus, now_seconds: float) -> Iterator[tuple[str, str]]:
    def ago(then: float) -> str:
        return f"{seconds(max(0.0, now_seconds - then))} ago"

    yield "steps", f"{status.step:,}, {status.steps_per_second:,.1f} a second"
    last = status.last_batch_seconds
    yield (
        "samples",
        f"{status.samples:,}, {status.samples_per_second:,.0f} a second; "
        + (f"the last batch {ago(last)}" if last else "no batch since it started"),
    )
    position = {partition: Position(*place) for partition, place in status.position.items()}
    lag = status.lag_messages
    each = ", ".join(f"{partition}: {count:,}" for partition, count in sorted(lag.items()))
    behind = f"{sum(lag.values()):,} messages behind" if lag else "lag not measured yet"
    yield "position", f"{offsets(position)}; {behind}" + (f" ({each})" if len(lag) > 1 else "")
    if (checkpoint := status.checkpoint) is None:
        yield "checkpoint", "none yet"
    else:
        size = f", {megabytes(checkpoint.bytes)}" if checkpoint.bytes else ""
        took = checkpoint.duration_seconds
        taken = f" written in {took:.2f} s" if took is not None else ""
        of = f"{ago(checkpoint.written_seconds)}, of step {checkpoint.step:,}"
        yield "checkpoint", f"{of}{size}{taken}"
    if (snapshot := status.snapshot) is None:
        yield "snapshot", "none yet"
    else:
        yield "snapshot", f"{ago(snapshot.written_seconds)}, of step {snapshot.step:,}"


def _predictor(seen: SeenPredictor) -> Iterator[tuple[str, Text]]:
    if seen.address is None:
        yield "predictor", Text("at any free port (port 0): name it with --predictor")
    elif seen.problem:
        yield "predictor", Text(f"{seen.address}: {seen.problem}", style=ILL)
    elif not seen.ready or seen.version is None:
        yield "predictor", Text(f"none at {seen.address}")
    else:
        epoch, step = seen.version
        text = f"  at {seen.address}, snapshot {epoch}.{step}"
        yield "predictor", Text.assemble(("ready", WELL), text)
    if (source := seen.source) is not None and source.address is not None:
        if source.problem is None:
            yield "source", Text(f"{source.address} answers")
        else:
            yield "source", Text(source.problem, style=DOUBTFUL)


def _knowledge(known: Knowledge | None) -> Iterator[Table | Text]:
    if known is None or not known.tasks:
        return
    tracks = [*known.average_accuracy]
    table = Table("task", box=None, pad_edge=False)
    for heading in ("samples", "accuracy", "holdout"):
        table.add_column(heading, justify="right")
    for track in tracks:
        table.add_column("forgotten" if track == "main" else f"{track} forgot", justify="right")
    for task in known.tasks[-MANY_TASKS:]:
        forgotten = [_share(task.forgetting.get(track)) for track in tracks]
        accuracy = _share(task.holdout_accuracy)
        cells = (f"{task.samples:,}", accuracy, f"{task.holdout_samples:,}", *forgotten)
        table.add_row(Text(task.name), *cells)
    mean = [_share(known.mean_forgetting[track]) for track in tracks]
    average = _share(known.average_accuracy.get("main"))
    table.add_row("at the last boundary", "", average, "", *mean, style="bold")
    yield Text("")
    yield table
    if (more := len(known.tasks) - MANY_TASKS) > 0:
        yield Text(f"{more} older tasks are not shown; --json has all")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
