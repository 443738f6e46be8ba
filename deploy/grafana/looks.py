"""How panels look: colours, words in a value's place, legends.

Invariant: colours are told apart by colour-blind people too (Okabe & Ito, 2008), and where one says
good or bad a word or a number says it with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from grafana_foundation_sdk.builders import common, dashboard
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model

GOOD, WATCH, BAD = "#009E73", "#E69F00", "#D55E00"
MAIN_COLOR, SHADOW_COLOR, NEUTRAL = "#56B4E9", "#E69F00", "#6b7280"

RATIO, SECONDS, COUNT, BYTES = "percentunit", "s", "short", "bytes"
PER_SECOND = "cps"

Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first is None, from the lowest on."""
Words: TypeAlias = Mapping[str, tuple[str, str]]
"""What is shown in a value's place, and its colour."""


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    marks = [model.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(marks)


def wording(words: Words) -> list[model.ValueMapping]:
    results = {
        value: model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return [model.ValueMap(options=results)]


def decimals(count: int) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val="decimals", value=count)


def by(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def fixed(color: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})


def line_width(pixels: int) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val="custom.lineWidth", value=pixels)


def dashed() -> model.DynamicConfigValue:
    return model.DynamicConfigValue(
        id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}
    )


def dashed_limit() -> common.GraphThresholdsStyleConfig:
    return common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)


def cells(steps: Steps) -> list[model.DynamicConfigValue]:
    """Of a table's column: each cell on the colour of its value."""
    background = {"type": "color-background", "mode": "basic"}
    return [
        model.DynamicConfigValue(id_val="custom.cellOptions", value=background),
        model.DynamicConfigValue(id_val="color", value={"mode": "thresholds"}),
        model.DynamicConfigValue(id_val="thresholds", value=thresholds(steps).build()),
    ]


def last_values(*, beside: bool) -> common.VizLegendOptions:
    """Names with their last values: in a table beside the graph, or in lines below it."""
    mode = shapes.LegendDisplayMode.TABLE if beside else shapes.LegendDisplayMode.LIST
    place = shapes.LegendPlacement.RIGHT if beside else shapes.LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().display_mode(mode).placement(place)
    return legend.show_legend(True).calcs(["lastNotNull"])


def no_legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(shapes.LegendDisplayMode.LIST)
        .placement(shapes.LegendPlacement.BOTTOM)
        .show_legend(False)
        .calcs([])
    )


def all_at_the_pointer() -> common.VizTooltipOptions:
    return (
        common.VizTooltipOptions()
        .mode(shapes.TooltipDisplayMode.MULTI)
        .sort(shapes.SortOrder.DESCENDING)
    )
