"""A part of a figure, for one panel, and how all of them look.

Invariant: margins are in inches, so that text fits whatever the figure's size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator

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
PALETTE = ("#56B4E9", "#E69F00", "#2BB58D", "#F0E442", "#CC79A7", "#BBBBC4", "#E8743B", "#3D8FD1")
BLUES = LinearSegmentedColormap.from_list("blues", [PANEL, "#5794F2"])
TITLE_INCHES = 0.3


class Look(NamedTuple):
    """Of a line."""

    color: str
    dashed: bool
    width: float
    """In pixels; none, 0, for bars."""


class Part(NamedTuple):
    """Left, bottom, width and height are shares of the figure."""

    figure: Figure
    left: float
    bottom: float
    width: float
    height: float

    @property
    def inches(self) -> tuple[float, float]:
        return self.width * self.figure.get_figwidth(), self.height * self.figure.get_figheight()

    def frame(self, title: str) -> Part:
        """Draw it, with a title; what is left below that."""
        axes = self.bare((0, 0), (0, 0))
        across, up = self.inches
        gap = (0.04 / across, 0.04 / up)
        size = (1 - 2 * gap[0], 1 - 2 * gap[1])
        axes.add_patch(FancyBboxPatch(gap, *size, "square,pad=0", fc=PANEL, ec=BORDER, lw=0.8))
        axes.text(0.12 / across, 1 - 0.17 / up, title, va="center", weight="bold")
        return self._replace(height=self.height * (1 - TITLE_INCHES / up))

    def bare(self, sides: tuple[float, float], ends: tuple[float, float]) -> Axes:
        """From 0 to 1 without ticks and lines; room at left and right, below and above."""
        axes = self.figure.add_axes(self._within(sides, ends))
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        axes.axis("off")
        return axes

    def graph(self, minutes: float, sides: tuple[float, float], below: float = 0) -> Axes:
        """Over so many minutes; room at left and right, and for a legend below."""
        axes = self.figure.add_axes(self._within(sides, (0.28 + below, 0.06)))
        axes.set_xlim(0, minutes)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g} min"))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(length=0)
        return axes

    def dash(self, x: float, y: float, look: Look) -> None:
        """A line's sample in a legend; from its lower left corner, in inches."""
        across, up = self.figure.get_figwidth(), self.figure.get_figheight()
        xs = [self.left + x / across, self.left + (x + 0.16) / across]
        style = (0, (2, 1)) if look.dashed else "-"
        ys = [self.bottom + y / up] * 2
        self.figure.add_artist(Line2D(xs, ys, color=look.color, lw=max(look.width, 1), ls=style))

    def write(self, x: float, y: float, text: str, **look: Any) -> None:
        across, up = self.figure.get_figwidth(), self.figure.get_figheight()
        place = (self.left + x / across, self.bottom + y / up)
        self.figure.text(*place, text, va="center", size=7, **look)

    def _within(
        self, sides: tuple[float, float], ends: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        across, up = self.figure.get_figwidth(), self.figure.get_figheight()
        return (
            self.left + sides[0] / across,
            self.bottom + ends[0] / up,
            self.width - sum(sides) / across,
            self.height - sum(ends) / up,
        )
