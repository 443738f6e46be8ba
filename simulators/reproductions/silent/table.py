"""The table of a summary, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = (
    "| scenario | seeds | samples | found | false alarms | delay: median, max "
    "| cut error: median, max | told, % | silent, % | difference, points |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def table(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each scenario."""
    return HEAD + "".join(f"{_line(name, figures)}\n" for name, figures in summary.items())


def _line(name: str, figures: Mapping[str, Any]) -> str:
    boundaries = figures["boundaries"]
    found = round((figures["recall"] or 0) * boundaries)
    error = figures["accuracy_difference_standard_error"]
    difference = f"{100 * figures['accuracy_difference']:+.2f}".replace("-", "−")
    cells = (
        f"`{name}`",
        str(figures["seeds"]),
        f"{figures['samples']:,}",
        f"{found} of {boundaries}" if boundaries else "–",
        str(figures["false_alarms"]),
        _pair(figures, "delay"),
        _pair(figures, "cut_error"),
        f"{100 * figures['accuracy_told']:.2f}",
        f"{100 * figures['accuracy_silent']:.2f}",
        difference + (f" ± {100 * error:.2f}" if error is not None else ""),
    )
    return f"| {' | '.join(cells)} |"


def _pair(figures: Mapping[str, Any], what: str) -> str:
    middle, most = figures[f"{what}_median_samples"], figures[f"{what}_max_samples"]
    return "–" if middle is None else f"{middle:,g}, {most:,}"
