"""What a process uses, read from /proc now and then, and whether it stays flat.

Invariant: a process is judged by its second half against its second quarter, so that what it takes
once, while it warms up, does not count, and what it goes on taking does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

RELATIVE_LIMIT = 0.05


class Usage(NamedTuple):
    """Of one process: resident memory (bytes), threads, open file descriptors."""

    rss_bytes: int
    threads: int
    descriptors: int


ABSOLUTE_LIMITS = Usage(rss_bytes=16 * 1024 * 1024, threads=2, descriptors=4)


def usage(process: int) -> Usage:
    place = Path(f"/proc/{process}")
    pages = int((place / "statm").read_text(encoding="ascii").split()[1])
    threads = len(list((place / "task").iterdir()))
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), threads, len(list((place / "fd").iterdir())))


def children_of(process: int) -> dict[str, int]:
    """Of `si-stream serve`: the commands that it runs, and their processes."""
    found: dict[str, int] = {}
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    for child in map(int, children.split()):
        words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        found |= {name: child for name in ("learner", "predictor") if name in words}
    return found


def disk_bytes(directory: Path) -> int:
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except FileNotFoundError:  # pruned meanwhile
                continue
    return total


def growth(series: Sequence[float]) -> tuple[float, float]:
    """The medians of the second and of the last quarter.

    >>> growth([9, 1, 2, 2, 2, 2, 3, 3])
    (2.0, 3.0)
    """
    quarter = len(series) // 4
    return float(median(series[quarter : 2 * quarter])), float(median(series[-quarter:]))


def is_flat(series: Sequence[float], absolute_limit: float) -> bool:
    """Whether the last quarter lies no more than 5 % and a constant above the second.

    >>> is_flat([5, 100, 100, 105], absolute_limit=1), is_flat([5, 100, 100, 107], 1)
    (True, False)
    """
    before, after = growth(series)
    return after <= before * (1 + RELATIVE_LIMIT) + absolute_limit
