"""Which one is it? The model and its settings, and how far learner, snapshot and predictor are."""

from __future__ import annotations

from deploy.grafana.looks import COUNT, NEUTRAL
from deploy.grafana.panels import About, Panel, lines, tile
from deploy.grafana.queries import Query, of


def panels() -> list[Panel]:
    return [
        *(_facts(), _active_task()),
        *(_steps(), _epochs(), _samples()),
        *(_offsets(), _loads(), _open_outputs()),
    ]


def _facts() -> Panel:
    about = About(
        "What learns",
        "Network, consolidator and its strength, detector, device, version of SI Stream.",
        span=16,
        height=4,
    )
    legend = (
        "{{network}} · {{consolidator}} {{strength}} · detection {{detector}} · {{device}} · "
        "version {{version}}"
    )
    return tile(about, Query(of("si_stream_model_info"), legend), steps=[(None, NEUTRAL)])


def _active_task() -> Panel:
    about = About("Task in training", "Samples without a task go to its head.", span=8, height=4)
    query = Query(of("si_stream_active_task_info"), "{{task}}")
    return tile(about, query, steps=[(None, NEUTRAL)])


def _steps() -> Panel:
    about = About(
        "Steps",
        "Of the model's life: learned, in the latest snapshot, and in the one that answers. They "
        "follow each other; a step back is a rewind or a rollback. The last one behind for "
        "minutes: the predictor cannot reach the learner's snapshots.",
        COUNT,
    )
    return lines(
        about,
        Query(of("si_stream_step"), "learned"),
        Query(of("si_stream_snapshot_step"), "snapshot"),
        Query(f"min({of('si_stream_served_snapshot_step')})", "served"),
    )


def _epochs() -> Panel:
    about = About(
        "Epochs",
        "Each start of a learner, and each rollback, is a new one. A learner behind the others has "
        "been replaced by a later one.",
        COUNT,
    )
    return lines(
        about,
        Query(of("si_stream_epoch"), "learner"),
        Query(f"min({of('si_stream_served_snapshot_epoch')})", "served"),
    )


def _samples() -> Panel:
    about = About("Samples served", "That the snapshot that answers has learned.", COUNT)
    return lines(about, Query(f"min({of('si_stream_served_snapshot_samples')})", "samples"))


def _offsets() -> Panel:
    about = About(
        "Offset served",
        "Of the next message that the snapshot that answers has not learned.",
        COUNT,
    )
    offset = f"min by (partition) ({of('si_stream_served_position_offset')})"
    return lines(about, Query(offset, "partition {{partition}}"))


def _loads() -> Panel:
    about = About(
        "Snapshots loaded", "By the predictors of now. It stands still while learning goes on: "
        "look at the predictor's log.", COUNT,
    )  # fmt: skip
    return lines(about, Query(of("si_stream_served_snapshot_loads_total"), "{{instance}}"))


def _open_outputs() -> Panel:
    about = About(
        "Open outputs",
        "Of each task's head, where labels are open; empty where they are fixed. Near "
        "model.outputs: new labels will be dead letters.",
        COUNT,
    )
    return lines(about, Query(of("si_stream_open_outputs"), "{{task}}"))
