"""How pictures look: colours that colour-blind people can tell apart, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe & Ito (2008).
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
TEXT, FAINT, SHADE = "#222222", "#8a8a8a", "#f3f3f3"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": FAINT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def new_figure(width: float, height: float) -> Figure:
    """To be made, drawn and saved within ``mpl.rc_context(STYLE)``."""
    layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
    return Figure(figsize=(width, height), layout=layout, facecolor="white")


def save(figure: Figure, path: Path) -> None:
    """As a PNG whose bytes depend on the picture alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def grid(axes: Axes, which: str = "y") -> None:
    axes.grid(axis="x" if which == "x" else "y", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)


def styled() -> Any:
    return mpl.rc_context(STYLE)
