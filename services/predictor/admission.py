"""Admission: who may come in to ask for a prediction, before anything of the request is read.

Invariant: never more than `limit` are in, read, waiting or being answered; once it is closed nobody
comes in, and those who are in go on to their answers.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from si_stream.errors import Overloaded, ShuttingDown

NAP_SECONDS = 0.02


class Admission:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self._closed = False

    def enter(self) -> None:
        """Whoever comes in must `leave`.

        Raises:
            Overloaded: as many are in as may be.
            ShuttingDown: it is closed.
        """
        self.check_open()
        if self.inside >= self.limit:
            raise Overloaded(
                f"{self.inside} requests are waiting, and no more are let in "
                "(predictor.max_waiting); ask again later, or another predictor"
            )
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1

    def check_open(self) -> None:
        """Raises:
        ShuttingDown: it is closed.
        """
        if self._closed:
            raise ShuttingDown(
                "this predictor is shutting down, and answers only what it had taken in before; "
                "ask again, on a new connection"
            )

    def close(self) -> None:
        self._closed = True

    async def emptied(self, within_seconds: float) -> None:
        """Wait until everybody has left, or for so long."""
        end = monotonic() + within_seconds
        while self.inside and monotonic() < end:
            await asyncio.sleep(NAP_SECONDS)
