"""Matching: which detected boundary is which true one.

Invariant: one to one; a detected boundary that is no true one's is a false alarm, a true one that
has none was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

BEFORE_SAMPLES = 512
BEHIND_SAMPLES = 2048


class Detected(NamedTuple):
    """A boundary that was detected: its place, and the sample at which it was noticed."""

    cut: int
    alarm: int


class Match(NamedTuple):
    true: int
    detected: Detected

    @property
    def delay(self) -> int:
        """Samples from the change to the alarm."""
        return self.detected.alarm - self.true

    @property
    def cut_error(self) -> int:
        return abs(self.detected.cut - self.true)


class Matching(NamedTuple):
    matches: list[Match]
    missed: list[int]
    false: list[Detected]


def match(
    true: Sequence[int], detected: Sequence[Detected], samples: int, *, drift_samples: int = 0
) -> Matching:
    """Pairs by nearness of the cut, the nearest first.

    A detected boundary can be a true one's if it was noticed after the change and before the next,
    and was placed at most 512 samples before the change and at most 2,048 behind it (the window
    that a cut is looked for in), or behind the end of its drift.

    Args:
        true: the changes, rising, as indices of samples.
        detected: in any order.
        samples: in the whole stream.
        drift_samples: over which a change comes.

    Example:
        >>> found = match([1000, 2000], [Detected(1003, 1040), Detected(1500, 1530)], 3000)
        >>> [(one.delay, one.cut_error) for one in found.matches], found.missed, found.false
        ([(40, 3)], [2000], [Detected(cut=1500, alarm=1530)])
    """
    candidates = [
        Match(begin, one)
        for begin, end in pairwise([*true, samples])
        for one in detected
        if begin <= one.alarm < end
        and begin - BEFORE_SAMPLES <= one.cut <= begin + BEHIND_SAMPLES + drift_samples
    ]
    matches: list[Match] = []
    for candidate in sorted(candidates, key=lambda one: (one.cut_error, one.true)):
        if all(
            candidate.true != one.true and candidate.detected != one.detected for one in matches
        ):
            matches.append(candidate)
    matches.sort()
    found, taken = {one.true for one in matches}, {one.detected for one in matches}
    return Matching(
        matches,
        [place for place in true if place not in found],
        [one for one in detected if one not in taken],
    )
