"""Graphs of the dashboard, lines or bars over time, with their legends.

Invariant: a series that has no colour of its own in the panel's JSON has that of its place among
the names, so tasks have the same in every graph of all tasks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deploy.grafana.answers import Answers, Line
from deploy.grafana.formats import text_of
from deploy.grafana.part import FAINT, GRID, PALETTE, Look, Part
from deploy.grafana.reading import queries

BESIDE_SHARE = 0.24
LINE_INCHES = 0.17

Panel = Mapping[str, Any]


class Graphs:
    """Args:
    answers: of Prometheus.
    annotations: of the dashboard; they stand in every graph.
    """

    def __init__(self, answers: Answers, annotations: Sequence[Mapping[str, Any]]) -> None:
        self._answers = answers
        self._marks = answers.marks(annotations)

    def draw(self, panel: Panel, part: Part) -> None:
        legend = panel["options"]["legend"]
        found = [line for query in queries(panel) for line in self._answers.over_time(query)]
        beside = BESIDE_SHARE * part.inches[0] if legend["placement"] == "right" else 0.0
        rows = self._in_rows(panel, found, part.inches[0])
        below = 0.0 if beside else 0.05 + LINE_INCHES * len(rows)
        axes = part.graph(self._answers.minutes, (0.62, 0.1 + beside), below)
        self._fill(axes, panel, found)
        if not found:
            axes.text(0.5, 0.5, "No data", ha="center", transform=axes.transAxes, color=FAINT)
        elif beside:
            self._legend_beside(part, panel, found, beside)
        else:
            self._legend_below(part, panel, rows)

    def _fill(self, axes: Axes, panel: Panel, found: Sequence[Line]) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        unit, custom = defaults["unit"], defaults["custom"]
        axes.grid(color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        for color, minute in self._marks:
            axes.axvline(minute, color=color, lw=0.8, ls=(0, (4, 3)), alpha=0.6)
        stacked = np.zeros(len(found[0].minutes)) if found else np.zeros(0)
        looks = _looks(panel, found)
        for line in found:
            color, dashed, width = looks[line.name]
            if custom.get("drawStyle") == "bars":
                heights = np.nan_to_num(np.array(line.values))
                across = self._answers.minutes / len(line.minutes)
                axes.bar(line.minutes, heights, across, stacked, color=color)
                stacked = stacked + heights
            else:
                style = (0, (4, 2)) if dashed else "-"
                axes.plot(line.minutes, line.values, color=color, lw=0.75 * width, ls=style)
        if "thresholdsStyle" in custom:
            limit = defaults["thresholds"]["steps"][-1]
            axes.axhline(limit["value"], color=limit["color"], lw=1, ls=(0, (6, 4)))
        _limit(axes, defaults, found)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value, unit)))
        # Half a minute is a better mark than 40 s.
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 3, 6, 10] if unit == "s" else None))

    def _entry(self, panel: Panel, line: Line) -> str:
        """Name and last value."""
        last = next((v for v in reversed(line.values) if not math.isnan(v)), math.nan)
        return f"{line.name}  {text_of(last, panel['fieldConfig']['defaults']['unit'])}"

    def _in_rows(self, panel: Panel, found: Sequence[Line], inches: float) -> list[list[Line]]:
        """As many in a line as there is room for."""
        rows: list[list[Line]] = []
        room = 0.0
        for one in found:
            width = _width(self._entry(panel, one))
            if width > room:
                rows.append([])
                room = inches - 0.2
            rows[-1].append(one)
            room -= width
        return rows

    def _legend_below(self, part: Part, panel: Panel, rows: Sequence[Sequence[Line]]) -> None:
        looks = _looks(panel, [line for lines in rows for line in lines])
        for row, lines in enumerate(reversed(rows)):
            x, y = 0.12, 0.14 + LINE_INCHES * row
            for line in lines:
                part.dash(x, y, looks[line.name])
                part.write(x + 0.22, y, self._entry(panel, line), color=FAINT)
                x += _width(self._entry(panel, line))

    def _legend_beside(
        self, part: Part, panel: Panel, found: Sequence[Line], inches: float
    ) -> None:
        across, up = part.inches
        looks = _looks(panel, found)
        for row, line in enumerate(found):
            x, y = across - inches, up - 0.16 - LINE_INCHES * row
            part.dash(x, y, looks[line.name])
            name, _, last = self._entry(panel, line).rpartition("  ")
            part.write(x + 0.22, y, name, color=FAINT)
            part.write(across - 0.12, y, last, ha="right")


def _looks(panel: Panel, found: Sequence[Line]) -> dict[str, Look]:
    looks: dict[str, Look] = {}
    free = cycle(PALETTE)
    usual = panel["fieldConfig"]["defaults"]["custom"]["lineWidth"]
    for name in [line.name for line in found]:
        values: dict[str, Any] = {}
        for override in panel["fieldConfig"]["overrides"]:
            if re.search(str(override["matcher"]["options"]).strip("/"), name):
                values |= {one["id"]: one["value"] for one in override["properties"]}
        color = values["color"]["fixedColor"] if "color" in values else next(free)
        width = values.get("custom.lineWidth", usual)
        looks[name] = Look(color, "custom.lineStyle" in values, width)
    return looks


def _width(entry: str) -> float:
    """Of an entry of a legend, in inches."""
    return 0.4 + 0.062 * len(entry)


def _limit(axes: Axes, defaults: Mapping[str, Any], found: Sequence[Line]) -> None:
    """The panel's limits, with a little room where there is none."""
    low, high = defaults.get("min"), defaults.get("max")
    values = [value for line in found for value in line.values if not math.isnan(value)]
    if high is None and low is not None:
        top = axes.get_ylim()[1]
        axes.set_ylim(low, top if values and max(values) > 0 else 1)
    elif high is not None:
        axes.set_ylim(low, high * 1.02)
