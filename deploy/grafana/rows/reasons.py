"""Why? What the learner minimises, how stiff the network has grown, and what the detector saw."""

from __future__ import annotations

from deploy.grafana.looks import COUNT, GOOD, RATIO, fixed, line_width
from deploy.grafana.panels import About, Panel, bars, beside_shadow, lines
from deploy.grafana.queries import MAIN, TASK, Query, at_each_step, of

NATS = "none"


def panels() -> list[Panel]:
    return [
        *(_losses(), _surrogate_share(), _prequential()),
        *(_importance(), _drift(), _plasticity()),
        *(_alarms(), _worlds(), _tasks()),
    ]


def _losses() -> Panel:
    about = About(
        "Loss",
        "Of the task, mean of the latest steps in nats, and the surrogate, the penalty that holds "
        "important weights where they are. The task's jumps at a boundary and falls; if it stays "
        "high, the network is too stiff, or the task harder: the shadow tells them apart.",
        NATS,
    )
    panel = lines(
        about,
        Query(of("si_stream_task_loss"), "{{track}}: task"),
        Query(of("si_stream_surrogate_loss", MAIN), "surrogate"),
    )
    return beside_shadow(panel).override_by_name("surrogate", [fixed(GOOD)])


def _surrogate_share() -> Panel:
    about = About(
        "Surrogate's share of the loss",
        "Near 0 long after a boundary: consolidation hardly acts; if tasks are forgotten raise "
        "consolidator.strength. Most of it: the network is stiff; lower it, or let importance "
        "decay.",
        RATIO,
    )
    surrogate, task = of("si_stream_surrogate_loss", MAIN), of("si_stream_task_loss", MAIN)
    return lines(about, Query(f"{surrogate} / ({surrogate} + {task})", "surrogate"), high=1)


def _prequential() -> Panel:
    about = About(
        "Accuracy before training (prequential)",
        "Each sample is tested before it is trained on; since its task began. Far above the "
        "holdout accuracy: samples repeat, or the holdout is of another kind.",
        RATIO,
    )
    query = Query(of("si_stream_prequential_accuracy_ratio", MAIN, TASK), "{{task}}")
    return lines(about, query, high=1)


def _importance() -> Panel:
    about = About(
        "Importance by layer",
        "‖Ω‖₂ of each layer: how much of it old tasks hold. It rises at each boundary. So high "
        "that plasticity falls: lower the strength, or let it decay (consolidator.decay).",
        COUNT,
    )
    return lines(about, Query(of("si_stream_importance_norm", MAIN), "{{layer}}"))


def _drift() -> Panel:
    about = About(
        "Drift by layer",
        "‖θ−θ̃‖₂ of each layer: how far the weights went since the last boundary. Far in a layer "
        "of little importance is how it should be; far everywhere while old tasks fall: too "
        "little strength.",
        COUNT,
    )
    return lines(about, Query(of("si_stream_drift_norm", MAIN), "{{layer}}"))


def _plasticity() -> Panel:
    about = About(
        "Plasticity",
        "How fast (speed) and how well (level, broad) the newest task was learned, 1 as the "
        "first ones. Main alone below 1: the network has grown stiff. The shadow falls too: the "
        "task is harder.",
        RATIO,
    )
    panel = lines(
        about,
        Query(of("si_stream_plasticity_speed_ratio"), "{{track}}: speed"),
        Query(of("si_stream_plasticity_level_ratio"), "{{track}}: level"),
    )
    return beside_shadow(panel).override_by_regexp("/level$/", [line_width(4)])


def _alarms() -> Panel:
    about = About(
        "Detector's alarms",
        "Times that a signal rose, and what followed: a boundary (taken), or why none was made. "
        "Many without one: raise the detector's threshold. None at a change that forgetting "
        "shows: lower it. With detection off there are none.",
        COUNT,
    )
    alarms, by = of("si_stream_detector_alarms_total"), "signal, decision"
    ever = f"sum by ({by}) ({alarms}) > 0"  # all there can be are counted from zero on
    return bars(about, Query(f"{at_each_step(alarms, by)} and {ever}", "{{signal}}: {{decision}}"))


def _worlds() -> Panel:
    about = About(
        "Worlds compared",
        "Boundaries after which the first samples were held against the known tasks: a world that "
        "returned is taken up again. New though you know better: two heads now learn one task.",
        COUNT,
    )
    grown = at_each_step(of("si_stream_worlds_compared_total"), "outcome")
    return bars(about, Query(grown, "{{outcome}}"))


def _tasks() -> Panel:
    about = About(
        "Tasks and boundaries",
        "Tasks opened so far, and those that this process has consolidated. They stand near "
        "boundaries.max_tasks: no further head will open.",
        COUNT,
    )
    return lines(
        about,
        Query(of("si_stream_tasks"), "tasks"),
        Query(of("si_stream_consolidations_total"), "consolidated by this process"),
    )
