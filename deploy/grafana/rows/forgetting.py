"""Is it forgetting? Every task's accuracy over time, SI beside its shadow, which has no
consolidation.
"""

from __future__ import annotations

from deploy.grafana.looks import BAD, COUNT, GOOD, RATIO, SECONDS, WATCH, cells, decimals
from deploy.grafana.panels import About, Column, Panel, beside_shadow, heat_map, lines, rows
from deploy.grafana.queries import MAIN, SHADOW, TASK, Query, of
from deploy.grafana.thresholds import threshold

ACCURACY = "si_stream_holdout_accuracy_ratio"
FORGETTING = "si_stream_forgetting_ratio"
ERROR = "si_stream_forgetting_standard_error_ratio"
NO_SHADOW = "Empty without a shadow; --shadow none adds one."


def panels() -> list[Panel]:
    return [
        _accuracy_map("Accuracy of each task", MAIN, "A row that fades is forgotten."),
        _accuracy_map(
            "Accuracy of each task, without consolidation",
            SHADOW,
            f"Of the shadow: what SI saves from. {NO_SHADOW}",
        ),
        _accuracy(
            "Accuracy over time",
            MAIN,
            "Where a line falls after a boundary, learning the next task overwrote what it needs.",
        ),
        _accuracy(
            "Accuracy over time, without consolidation", SHADOW, f"Of the shadow. {NO_SHADOW}"
        ),
        _tasks(),
        _forgetting(),
        _average(),
        _mean_forgetting(),
        _backward_transfer(),
    ]


def _accuracy_map(title: str, track: str, advice: str) -> Panel:
    about = About(
        title,
        f"Tasks as rows, time to the right, the holdout accuracy of each as measured "
        f"then. {advice}",
        RATIO,
        span=12,
        height=8,
    )
    return heat_map(about, Query(of(ACCURACY, track, TASK), "{{task}}"))


def _accuracy(title: str, track: str, advice: str) -> Panel:
    about = About(
        title,
        "Holdout accuracy of each task; boundaries and what else happened stand as vertical "
        f"lines. {advice}",
        RATIO,
        span=12,
    )
    return lines(about, Query(of(ACCURACY, track, TASK), "{{task}}"), high=1)


def _tasks() -> Panel:
    limit, errors = threshold("forgetting_ratio"), threshold("forgetting_standard_errors")
    about = About(
        "Tasks now",
        "Forgetting is the best holdout accuracy at a boundary less the latest; below zero: got "
        f"better. ± are {errors:g} standard errors of that difference, over the same holdout "
        "samples: what is smaller than ± is chance. Where measured was long ago, nobody knows. A "
        "larger holdout makes ± smaller.",
        COUNT,
        span=12,
    )
    forgotten = cells([(None, GOOD), (limit / 2, WATCH), (limit, BAD)])
    stale = cells([(None, GOOD), (threshold("holdout_age_seconds"), WATCH)])

    def each(metric: str, track: str) -> str:
        return f"max by (task) ({of(metric, track, TASK)})"

    untracked = f"max by (task) ({of('si_stream_holdout_age_seconds', TASK)})"
    samples = f"max by (task) ({of('si_stream_holdout_samples', TASK)})"
    return rows(
        about,
        "task",
        Column("accuracy", each(ACCURACY, MAIN), RATIO, [decimals(1)]),
        Column("forgetting", each(FORGETTING, MAIN), RATIO, [decimals(1), *forgotten]),
        Column("±", f"{errors:g} * {each(ERROR, MAIN)}", RATIO, [decimals(1)]),
        Column("shadow forgets", each(FORGETTING, SHADOW), RATIO, [decimals(1)]),
        Column("measured ago", untracked, SECONDS, stale),
        Column("holdout samples", samples, COUNT),
    )


def _forgetting() -> Panel:
    limit, errors = threshold("forgetting_ratio"), threshold("forgetting_standard_errors")
    about = About(
        "Forgetting beyond chance",
        f"Of each task, less {errors:g} standard errors: above zero it is surely forgotten, above "
        f"the dashed line, {limit:.0%}, for some minutes it fires an alert. A higher "
        "consolidator.strength holds on to old tasks; a rollback goes back to before.",
        RATIO,
        span=12,
    )
    forgetting, error = of(FORGETTING, MAIN, TASK), of(ERROR, MAIN, TASK)
    query = Query(f"{forgetting} - {errors:g} * {error}", "{{task}}")
    return lines(about, query, low=None, limit=limit)


def _average() -> Panel:
    about = About(
        "Average accuracy",
        "Mean over all tasks, measured at the last boundary. Main above shadow: what consolidation "
        "is worth. Both low: the network is too small, or trains too briefly.",
        RATIO,
    )
    return _both_tracks(about, "si_stream_average_accuracy_ratio", high=1)


def _mean_forgetting() -> Panel:
    about = About(
        "Mean forgetting",
        "Mean over the tasks before the last, measured at the last boundary. Main near shadow: "
        "consolidation does not help; look at the surrogate's share in the next row.",
        RATIO,
    )
    return _both_tracks(about, "si_stream_mean_forgetting_ratio")


def _backward_transfer() -> Panel:
    about = About(
        "Backward transfer",
        "Mean of R[T,j] − R[j,j] at the last boundary (Lopez-Paz & Ranzato): what learning later "
        "tasks has given to earlier ones; below zero it has taken.",
        RATIO,
    )
    return _both_tracks(about, "si_stream_backward_transfer_ratio", low=None)


def _both_tracks(
    about: About, metric: str, *, low: float | None = 0, high: float | None = None
) -> Panel:
    return beside_shadow(lines(about, Query(of(metric), "{{track}}"), low=low, high=high))
