"""Numbers as Grafana writes them, unit by unit, for pictures of the dashboard."""

from __future__ import annotations

import math
from collections.abc import Sequence

TIMES = ((86_400, "day"), (3600, "hour"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))
BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
DECIMAL = ((1e9, "Bil"), (1e6, "Mil"), (1e3, "K"), (1, ""))


def text_of(value: float, unit: str, decimals: int | None = None) -> str:
    if math.isnan(value):
        return "NaN"
    if unit == "percentunit":
        percent = value * 100
        return f"{_short(percent)}%" if decimals is None else f"{percent:.{decimals}f}%"
    if unit == "s":
        return _scaled(value, TIMES)
    if unit == "bytes":
        return _scaled(value, BINARY)
    if unit == "cps":
        return f"{_scaled(value, DECIMAL)}/s"
    return _scaled(value, DECIMAL)


def _scaled(value: float, scale: Sequence[tuple[float, str]]) -> str:
    if value == 0:
        return "0"
    size, name = next((one for one in scale if abs(value) >= one[0]), scale[-1])
    return f"{_short(value / size)} {name}".strip()


def _short(value: float) -> str:
    """Three digits, and none that says nothing."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
