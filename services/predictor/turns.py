"""Turns: who is computed next, the first who came, one at a time.

Invariant: a turn that was taken is given on. Whoever waits does so until its deadline; where its
client has gone meanwhile, the turn goes to the next.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from services.predictor.deadlines import is_gone, kept


class Turns:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def take(self, deadline: float, receive: Receive) -> float:
        """Seconds waited for one's turn, which one must `give_on`.

        Raises:
            DeadlinePassed: it did not come in time.
            ClientDisconnect: nobody waits for the answer any more.
        """
        if not self._waiting and not self._lock.locked():
            await self._lock.acquire()
            return 0.0
        since = monotonic()
        self._waiting += 1
        try:
            await kept(deadline, self._lock.acquire)
        finally:
            self._waiting -= 1
        if is_gone(receive):
            self.give_on()
            raise ClientDisconnect
        return monotonic() - since

    def give_on(self) -> None:
        self._lock.release()
