"""Spread: how far the runs of a scenario lie apart, and how well their mean is known."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import stdev


def standard_deviation(values: Sequence[float]) -> float | None:
    """None of a single one."""
    return stdev(values) if len(values) > 1 else None


def standard_error(values: Sequence[float]) -> float | None:
    """Of their mean; None of a single one.

    >>> standard_error([1.0, 3.0])
    1.0
    """
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else None


def rounded(value: float | None) -> float | None:
    """As a summary has it: to a thousandth of a point, where it is a ratio."""
    return None if value is None else round(value, 5)
