"""Turns: who is computed in the event loop next, the first who came.

Invariant: after a slice of computing the event loop looks at its sockets, and whoever came
meanwhile is let in or refused. Whoever waits does so until its deadline, and is not computed where
its client has gone meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from services.predictor.deadlines import kept
from services.predictor.messages import is_gone

SLICE_SECONDS = 0.005
"""For how long others are kept waiting, health and metrics among them; or for one computation, if
that takes longer."""


class Turns:
    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resting = False  # until the event loop has looked at its sockets
        self._computed = 0  # in this slice
        self._spent_seconds = 0.0

    async def taken(self, deadline: float, receive: Receive) -> float:
        """Seconds waited for one's turn; then compute without another wait, and say `spent`.

        Raises:
            DeadlinePassed: it did not come in time.
            ClientDisconnect: nobody waits for the answer any more.
        """
        if not self._resting:
            return 0.0
        since = monotonic()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await kept(deadline, turn)
        if is_gone(receive):
            raise ClientDisconnect
        return monotonic() - since

    def spent(self, seconds: float) -> None:
        self._computed += 1
        self._spent_seconds += seconds
        if self._spent_seconds >= SLICE_SECONDS and not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """With as many as a slice is expected to be enough for."""
        places = 1
        if self._spent_seconds:
            places = max(1, int(SLICE_SECONDS / self._spent_seconds * self._computed))
        while self._waiting and places:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                places -= 1
        self._resting = bool(self._waiting)
        if self._resting:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._computed, self._spent_seconds = 0, 0.0
