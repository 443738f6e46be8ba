"""Rounds: two costs measured in turn, and what their ratio is worth.

Invariant: both are measured in one process, in pairs that lie next to each other in time, and
which comes first alternates, so that what the machine does meanwhile weighs on both alike.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np


class Figure(NamedTuple):
    """What a benchmark has found.

    ``value`` and ``spread`` (between the quartiles) are in ``unit``; ``baseline`` is the median of
    what was compared with, in a unit that the benchmark's entry in the catalogue says.
    """

    value: float
    unit: str
    baseline: float
    spread: float


def _nobody(_done: int, _total: int) -> None:
    pass


class Effort(NamedTuple):
    """How long to measure.

    Args:
        rounds: pairs to take; None for the benchmark's own number.
        quick: a hundredth of a round's work and no warming up, which shows that it runs, no more.
        tick: told of the pairs done and of all.
    """

    rounds: int | None = None
    quick: bool = False
    tick: Callable[[int, int], None] = _nobody

    def amount(self, usual: int) -> int:
        return max(1, usual // 100) if self.quick else usual


class Pair(NamedTuple):
    ours: float
    baseline: float


def alternate(
    effort: Effort, rounds: int, ours: Callable[[], float], baseline: Callable[[], float]
) -> list[Pair]:
    """Costs of both, round by round, after one of each that does not count.

    Args:
        rounds: where the effort does not name a number.
        ours: does one round's work and returns its cost.
        baseline: the same of what is compared with.
    """
    rounds = effort.rounds or rounds
    effort.tick(0, rounds)
    if not effort.quick:
        ours(), baseline()
    pairs = []
    for number in range(rounds):
        if number % 2:
            theirs = baseline()
            pairs.append(Pair(ours(), theirs))
        else:
            pairs.append(Pair(ours(), baseline()))
        effort.tick(number + 1, rounds)
    return pairs


def ratio(pairs: list[Pair]) -> Figure:
    """The median of the pairs' ratios."""
    ratios = [pair.ours / pair.baseline for pair in pairs]
    return figure(ratios, "ratio", [pair.baseline for pair in pairs])


def figure(values: list[float], unit: str, baselines: list[float]) -> Figure:
    lower, upper = np.percentile(values, [25, 75])
    return Figure(median(values), unit, median(baselines), float(upper - lower))
