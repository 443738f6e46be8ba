"""Pace: batches and samples a second, over the last seconds that are complete.

Invariant: what is learned again behind a rewind counts again, for it is work too.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

WINDOW_SECONDS = 10


class Rates(NamedTuple):
    """Per second."""

    steps: float
    samples: float


class Pace:
    """Told by one thread, asked by any.

    Args:
        clock: seconds, of which differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = int(clock())
        self._seconds: deque[tuple[int, int, int]] = deque()
        """Each with the batches and samples that were learned in it, where there were some."""
        self._lock = Lock()

    def learned(self, samples: int) -> None:
        """A batch of so many."""
        now = int(self._clock())
        with self._lock:
            steps = 1
            if self._seconds and self._seconds[-1][0] == now:
                _, before, among = self._seconds.pop()
                steps, samples = steps + before, samples + among
            self._seconds.append((now, steps, samples))
            self._forget(now)

    def rates(self) -> Rates:
        now = int(self._clock())
        with self._lock:
            self._forget(now)
            complete = [second for second in self._seconds if second[0] < now]
        length = min(WINDOW_SECONDS, max(1, now - self._begun))
        steps = sum(steps for _, steps, _ in complete)
        return Rates(steps / length, sum(samples for *_, samples in complete) / length)

    def _forget(self, now: int) -> None:
        while self._seconds and self._seconds[0][0] < now - WINDOW_SECONDS:
            self._seconds.popleft()
