"""Panels of the dashboard painted by matplotlib, with what Prometheus answers.

Invariant: kind, limits, words, units and fixed colours are those of the panel's JSON; a series that
has no fixed colour has the same one in every panel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deploy.grafana.answers import Answers, Line
from deploy.grafana.formats import text_of
from deploy.grafana.reading import queries

BACKGROUND, PANEL, BORDER = "#111217", "#181b1f", "#2c3235"
TEXT, FAINT, GRID = "#e4e4ec", "#9a9aa5", "#2a2e34"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.color": TEXT,
    "axes.facecolor": PANEL,
    "axes.edgecolor": BORDER,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Okabe & Ito's, light enough for a dark ground. Grafana chooses others.
PALETTE = ("#56B4E9", "#E69F00", "#2BB58D", "#F0E442", "#CC79A7", "#3D8FD1", "#E8743B", "#BBBBC4")
BLUES = LinearSegmentedColormap.from_list("blues", [PANEL, "#5794F2"])
CELLS = 40  # of a heat map, as its maxDataPoints

Panel = Mapping[str, Any]
Place = tuple[float, float, float, float]
"""Left, bottom, width and height, as shares of the figure."""


class Painter:
    """Args:
    answers: of Prometheus.
    annotations: of the dashboard; they stand in every graph.
    """

    def __init__(self, answers: Answers, annotations: Sequence[Mapping[str, Any]]) -> None:
        self._answers = answers
        self._marks = answers.marks(annotations)
        self._colors: dict[str, str] = {}
        self._kinds = {
            "stat": self._tile,
            "timeseries": self._lines,
            "status-history": self._heat_map,
            "state-timeline": self._states,
            "table": self._table,
        }

    def draw(self, panel: Panel, figure: Figure, place: Place) -> None:
        """Into this part of the figure, with the panel's title above."""
        frame = figure.add_axes(place)
        frame.set(xlim=(0, 1), ylim=(0, 1))
        frame.axis("off")
        width, height = place[2] * figure.get_figwidth(), place[3] * figure.get_figheight()
        gap = (0.04 / width, 0.04 / height)
        size = (1 - 2 * gap[0], 1 - 2 * gap[1])
        frame.add_patch(FancyBboxPatch(gap, *size, "square,pad=0", fc=PANEL, ec=BORDER, lw=0.8))
        frame.text(0.12 / width, 1 - 0.17 / height, panel["title"], va="center", weight="bold")
        inner = (place[0], place[1], place[2], place[3] * (1 - 0.3 / height))
        self._kinds[panel["type"]](panel, figure, inner)

    def _axes(
        self, figure: Figure, place: Place, sides: tuple[float, float], below: float = 0
    ) -> Axes:
        """For a graph; room in inches at its left and right, and for a legend below."""
        width, height = figure.get_figwidth(), figure.get_figheight()
        x, y = place[0] + sides[0] / width, place[1] + (0.28 + below) / height
        across, up = place[2] - sum(sides) / width, place[3] - (0.34 + below) / height
        axes = figure.add_axes((x, y, across, up))
        axes.set_xlim(0, self._answers.minutes)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g} min"))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(length=0)
        return axes

    def _tile(self, panel: Panel, figure: Figure, place: Place) -> None:
        [query] = queries(panel)
        defaults = panel["fieldConfig"]["defaults"]
        found = self._answers.now(query)
        if not found:
            text, color = defaults["noValue"], PANEL
        elif query.legend:
            text, color = query.name(found[0][0]), _step_color(defaults, found[0][1])
        else:
            text, color = _worded(defaults, found[0][1])
        width, height = figure.get_figwidth(), figure.get_figheight()
        gap = (0.1 / width, 0.1 / height)
        box = (place[0] + gap[0], place[1] + gap[1], place[2] - 2 * gap[0], place[3] - gap[1])
        axes = figure.add_axes(box, facecolor=color)
        axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        axes.spines[:].set_visible(False)
        size = 11 if query.legend else 24 if len(text) < 7 else 18
        axes.text(0.5, 0.5, text, ha="center", va="center", size=size, weight="bold", color="white")

    def _lines(self, panel: Panel, figure: Figure, place: Place) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        unit, custom = defaults["unit"], defaults.get("custom", {})
        legend = panel["options"]["legend"]
        found = [line for query in queries(panel) for line in self._answers.over_time(query)]
        beside = 0.24 * place[2] * figure.get_figwidth() if legend["placement"] == "right" else 0.0
        lines = self._in_lines(panel, found, place[2] * figure.get_figwidth())
        below = 0.0 if beside or not legend["showLegend"] else 0.05 + 0.17 * len(lines)
        axes = self._axes(figure, place, (0.62, 0.1 + beside), below)
        axes.grid(color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        stacked = np.zeros(len(found[0].minutes)) if found else np.zeros(0)
        for color, minute in self._marks:
            axes.axvline(minute, color=color, lw=0.8, ls=(0, (4, 3)), alpha=0.6)
        for line in found:
            color, dashed = self._look(panel, line.name)
            if custom.get("drawStyle") == "bars":
                heights = np.nan_to_num(np.array(line.values))
                width = self._answers.minutes / len(line.minutes)
                axes.bar(line.minutes, heights, max(width, 0.02), stacked, color=color)
                stacked = stacked + heights
            else:
                style = (0, (4, 2)) if dashed else "-"
                axes.plot(line.minutes, line.values, color=color, lw=1.5, ls=style)
        if "thresholdsStyle" in custom:
            step = defaults["thresholds"]["steps"][-1]
            axes.axhline(step["value"], color=step["color"], lw=1, ls=(0, (6, 4)))
        _limit(axes, defaults, found)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value, unit)))
        # Half a minute is a better mark than 40 s.
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 3, 6, 10] if unit == "s" else None))
        if not found:
            axes.text(0.5, 0.5, "No data", ha="center", transform=axes.transAxes, color=FAINT)
        elif beside:
            self._legend_beside(axes, panel, found, beside)
        elif below:
            self._legend_below(figure, place, panel, lines)

    def _entry(self, panel: Panel, line: Line) -> str:
        """Name and last value."""
        last = next((v for v in reversed(line.values) if not math.isnan(v)), math.nan)
        return f"{line.name}  {text_of(last, panel['fieldConfig']['defaults']['unit'])}"

    def _in_lines(self, panel: Panel, found: Sequence[Line], inches: float) -> list[list[Line]]:
        """As many in a line as there is room for."""
        lines: list[list[Line]] = []
        room = 0.0
        for one in found:
            width = _width(self._entry(panel, one))
            if width > room:
                lines.append([])
                room = inches - 0.2
            lines[-1].append(one)
            room -= width
        return lines

    def _legend_below(
        self, figure: Figure, place: Place, panel: Panel, lines: Sequence[Sequence[Line]]
    ) -> None:
        width, height = figure.get_figwidth(), figure.get_figheight()
        for row, line in enumerate(reversed(lines)):
            x, y = place[0] + 0.12 / width, place[1] + (0.14 + 0.17 * row) / height
            for one in line:
                color, dashed = self._look(panel, one.name)
                style = (0, (2, 1)) if dashed else "-"
                dash = Line2D([x, x + 0.16 / width], [y, y], color=color, lw=2, ls=style)
                figure.add_artist(dash)
                text = self._entry(panel, one)
                figure.text(x + 0.22 / width, y, text, va="center", size=7, color=FAINT)
                x += _width(text) / width

    def _legend_beside(
        self, axes: Axes, panel: Panel, found: Sequence[Line], inches: float
    ) -> None:
        figure = axes.figure
        assert isinstance(figure, Figure)
        box, width = axes.get_position(), figure.get_figwidth()
        for row, one in enumerate(found):
            y = box.y1 - (0.1 + 0.18 * row) / figure.get_figheight()
            x, right = box.x1 + 0.12 / width, box.x1 + inches / width
            color, dashed = self._look(panel, one.name)
            style = (0, (2, 1)) if dashed else "-"
            figure.add_artist(Line2D([x, x + 0.16 / width], [y, y], color=color, lw=2, ls=style))
            name, _, last = self._entry(panel, one).rpartition("  ")
            figure.text(x + 0.22 / width, y, name, va="center", size=7, color=FAINT)
            figure.text(right, y, last, va="center", ha="right", size=7)

    def _heat_map(self, panel: Panel, figure: Figure, place: Place) -> None:
        [query] = queries(panel)
        found = self._answers.over_time(query, CELLS)
        axes = self._axes(figure, place, (0.8, 0.12))
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

    def _states(self, panel: Panel, figure: Figure, place: Place) -> None:
        [query] = queries(panel)
        found = self._answers.over_time(query)
        defaults = panel["fieldConfig"]["defaults"]
        axes = self._axes(figure, place, (1.6 if found else 0.2, 0.12))
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

    def _table(self, panel: Panel, figure: Figure, place: Place) -> None:
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
        axes = figure.add_axes(place)
        axes.axis("off")
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

    def _look(self, panel: Panel, name: str) -> tuple[str, bool]:
        """A series' colour, and whether it is dashed."""
        color, dashed = None, False
        for override in panel["fieldConfig"]["overrides"]:
            pattern = str(override["matcher"]["options"]).strip("/")
            if re.search(pattern, name):
                values = {one["id"]: one["value"] for one in override["properties"]}
                color = values.get("color", {}).get("fixedColor", color)
                dashed = dashed or "custom.lineStyle" in values
        if color is None:
            color = self._colors.setdefault(name, PALETTE[len(self._colors) % len(PALETTE)])
        return color, dashed


def _width(entry: str) -> float:
    """Of an entry of a legend, in inches."""
    return 0.4 + 0.062 * len(entry)


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


def _limit(axes: Axes, defaults: Mapping[str, Any], found: Sequence[Line]) -> None:
    """The panel's limits, with a little room where there is none."""
    low, high = defaults.get("min"), defaults.get("max")
    values = [value for line in found for value in line.values if not math.isnan(value)]
    if high is None and low is not None:
        top = axes.get_ylim()[1]
        axes.set_ylim(low, top if values and max(values) > 0 else 1)
    elif high is not None:
        axes.set_ylim(low, high * 1.02)
