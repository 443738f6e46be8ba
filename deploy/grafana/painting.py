"""Panels of the dashboard painted by matplotlib, with what Prometheus answers.

Invariant: kind, limits, words, units and fixed colours are those of the panel's JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle

from deploy.grafana.answers import Answers, Line
from deploy.grafana.formats import text_of
from deploy.grafana.graphs import Graphs
from deploy.grafana.part import BLUES, FAINT, PANEL, Part
from deploy.grafana.reading import queries

CELLS = 40  # of a heat map, as its maxDataPoints

Panel = Mapping[str, Any]


class Painter:
    """Args:
    answers: of Prometheus.
    annotations: of the dashboard; they stand in every graph.
    """

    def __init__(self, answers: Answers, annotations: Sequence[Mapping[str, Any]]) -> None:
        self._answers = answers
        self._kinds = {
            "stat": self._tile,
            "timeseries": Graphs(answers, annotations).draw,
            "status-history": self._heat_map,
            "state-timeline": self._states,
            "table": self._table,
        }

    def draw(self, panel: Panel, part: Part) -> None:
        """Into this part of a figure, with the panel's title above."""
        self._kinds[panel["type"]](panel, part.frame(panel["title"]))

    def _tile(self, panel: Panel, part: Part) -> None:
        [query] = queries(panel)
        defaults = panel["fieldConfig"]["defaults"]
        found = self._answers.now(query)
        if not found:
            text, color = defaults["noValue"], PANEL
        elif query.legend:
            text, color = query.name(found[0][0]), _step_color(defaults, found[0][1])
        else:
            text, color = _worded(defaults, found[0][1])
        axes = part.bare((0.1, 0.1), (0.1, 0))
        axes.add_patch(Rectangle((0, 0), 1, 1, color=color))
        size = 11 if query.legend else 24 if len(text) < 7 else 18
        axes.text(0.5, 0.5, text, ha="center", va="center", size=size, weight="bold", color="white")

    def _heat_map(self, panel: Panel, part: Part) -> None:
        [query] = queries(panel)
        found = self._answers.over_time(query, CELLS)
        axes = part.graph(self._answers.minutes, (0.8, 0.12))
        axes.spines[:].set_visible(False)
        if not found:
            axes.text(0.5, 0.5, "No data", ha="center", transform=axes.transAxes, color=FAINT)
            return
        defaults = panel["fieldConfig"]["defaults"]
        cells = np.array([line.values for line in found])
        minutes = found[0].minutes
        edges = [*minutes, minutes[-1] + minutes[1] - minutes[0]]
        axes.pcolormesh(
            edges, np.arange(len(found) + 1), cells, cmap=BLUES,
            vmin=defaults["min"], vmax=defaults["max"], edgecolors=PANEL, linewidth=0.8,
        )  # fmt: skip
        every = 2 if len(minutes) > CELLS / 2 else 1
        for (row, column), value in np.ndenumerate(cells):
            if not math.isnan(value) and column % every == 0:
                middle = (edges[column] + edges[column + 1]) / 2
                axes.text(
                    middle, row + 0.5, f"{value * 100:.0f}", ha="center", va="center", size=6,
                    color="white" if value < 0.75 else PANEL,
                )  # fmt: skip
        axes.set_yticks(np.arange(len(found)) + 0.5, [line.name for line in found])
        axes.set(ylim=(len(found), 0), xlim=(edges[0], edges[-1]))

    def _states(self, panel: Panel, part: Part) -> None:
        [query] = queries(panel)
        found = self._answers.over_time(query)
        defaults = panel["fieldConfig"]["defaults"]
        axes = part.graph(self._answers.minutes, (1.6 if found else 0.2, 0.12))
        axes.set_yticks(np.arange(len(found)) + 0.5, [line.name for line in found])
        axes.set_ylim(max(len(found), 1), 0)
        if not found:
            text = defaults["noValue"]
            axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes, color=FAINT, size=10)
        for row, line in enumerate(found):
            for value, first, last in _runs(line):
                text, color = _worded(defaults, value)
                axes.barh(row + 0.5, last - first, 0.7, first, color=color)
                if last - first > self._answers.minutes / 6:  # there is room
                    axes.text(first, row + 0.5, f" {text}", va="center", color="white")

    def _table(self, panel: Panel, part: Part) -> None:
        organize = panel["transformations"][-1]["options"]
        label, *columns = organize["indexByName"]
        titles = [label, *(organize["renameByName"][column] for column in columns)]
        looks = {
            override["matcher"]["options"]: {p["id"]: p["value"] for p in override["properties"]}
            for override in panel["fieldConfig"]["overrides"]
        }
        rows: dict[str, dict[str, float]] = {}
        for query, title in zip(queries(panel), titles[1:], strict=True):
            for labels, value in self._answers.now(query):
                rows.setdefault(labels[label], {})[title] = value
        axes = part.bare((0, 0), (0, 0))
        axes.set(xlim=(0, len(titles)), ylim=(max(len(rows), 6) + 1.2, -0.1))
        for column, title in enumerate(titles):
            axes.text(column + 0.5, 0.5, title, ha="center", va="center", color=FAINT)
            for row, (name, values) in enumerate(sorted(rows.items()), start=1):
                value = values.get(title, math.nan)
                look = looks.get(title, {})
                text = text_of(value, look["unit"], look.get("decimals")) if title in values else ""
                if title in values and "thresholds" in look:
                    color = _step_color(look, value)
                    corner = (column + 0.08, row + 0.06)
                    axes.add_patch(FancyBboxPatch(corner, 0.84, 0.88, "square,pad=0", fc=color))
                shown = name if title == label else text
                axes.text(column + 0.5, row + 0.5, shown, ha="center", va="center")


def _runs(line: Line) -> Iterator[tuple[float, float, float]]:
    """Of each value from when to when it stays."""
    step = line.minutes[1] - line.minutes[0]
    for value, run in groupby(zip(line.values, line.minutes, strict=True), lambda one: one[0]):
        times = [minute for _, minute in run]
        if not math.isnan(value):
            yield value, times[0], times[-1] + step


def _worded(defaults: Mapping[str, Any], value: float) -> tuple[str, str]:
    """What is shown of a value, and its colour."""
    for mapping in defaults.get("mappings", []):
        if result := mapping["options"].get(f"{value + 0.0:g}"):
            return result["text"], result["color"]
    return text_of(value, defaults["unit"], defaults.get("decimals")), _step_color(defaults, value)


def _step_color(look: Mapping[str, Any], value: float) -> str:
    color = ""
    for step in look["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return color
