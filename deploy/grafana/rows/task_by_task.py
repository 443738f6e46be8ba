"""Task by task: each one's forgetting in a panel of its own, with what chance explains."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from deploy.grafana.looks import (
    MAIN_COLOR,
    RATIO,
    SHADOW_COLOR,
    dashed,
    fixed,
    line_width,
    no_legend,
)
from deploy.grafana.panels import About, Panel, lines
from deploy.grafana.queries import MAIN, SHADOW, TASK, Query, of
from deploy.grafana.thresholds import threshold


def panels() -> list[Panel]:
    errors = threshold("forgetting_standard_errors")
    about = About(
        "$task",
        f"Best holdout accuracy at a boundary less the latest, in a band of {errors:g} standard "
        "errors of that difference: where zero lies within it, it may be chance. Dashed: the "
        "shadow.",
        RATIO,
        span=24,
    )
    forgetting = of("si_stream_forgetting_ratio", MAIN, TASK)
    error = f"{errors:g} * {of('si_stream_forgetting_standard_error_ratio', MAIN, TASK)}"
    panel = lines(
        about,
        Query(forgetting, "forgetting"),
        Query(f"{forgetting} + {error}", "at most"),
        Query(f"{forgetting} - {error}", "at least"),
        Query(of("si_stream_forgetting_ratio", SHADOW, TASK), "shadow"),
        low=None,
        limit=threshold("forgetting_ratio"),
    )
    band = [
        DynamicConfigValue(id_val="custom.fillBelowTo", value="at least"),
        DynamicConfigValue(id_val="custom.fillOpacity", value=25),
    ]
    panel.override_by_name("forgetting", [fixed(MAIN_COLOR)])
    panel.override_by_name("at most", [fixed(MAIN_COLOR), line_width(0), *band])
    panel.override_by_name("at least", [fixed(MAIN_COLOR), line_width(0)])
    panel.override_by_name("shadow", [fixed(SHADOW_COLOR), dashed()])
    panel.legend(no_legend()).repeat("task").repeat_direction("h").max_per_row(4)
    return [panel]
