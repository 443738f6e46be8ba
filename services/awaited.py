"""The partition that learning waits for: told when that takes long, and ever more seldom.

Invariant: what it says changes nothing; a partition that is empty is waited for, however long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from services.learner_status import Awaited

logger = logging.getLogger(__name__)
FIRST_REMINDER_SECONDS = 10.0


class AwaitedPartition:
    """Args:
    clock: seconds, of which differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._partition: int | None = None
        self._since = 0.0
        self._remind_after_seconds = FIRST_REMINDER_SECONDS

    def becomes(self, partition: int | None) -> None:
        """It is this one from now on; None where none is awaited any more."""
        if self._remind_after_seconds > FIRST_REMINDER_SECONDS:  # there is a warning to take back
            seconds = self._clock() - self._since
            logger.info("partition %d has messages again, after %.0f s", self._partition, seconds)
        self._partition, self._since = partition, self._clock()
        self._remind_after_seconds = FIRST_REMINDER_SECONDS

    def waiting(self) -> Awaited | None:
        """Which partition is awaited, and for how long; None where none is."""
        if (partition := self._partition) is None:
            return None
        return Awaited(partition=partition, seconds=round(self._clock() - self._since, 1))

    def remind(self) -> None:
        if self._partition is None:
            return
        seconds = self._clock() - self._since
        if seconds >= self._remind_after_seconds:
            logger.warning(
                "partition %d has had no message for %.0f s, and those of other partitions wait "
                "for it; is a sender missing? (with stream.merge 'arrival' they would wait only at "
                "boundaries, but the same stream would no longer give the same weights)",
                *(self._partition, seconds),
            )
            self._remind_after_seconds = 2 * seconds
