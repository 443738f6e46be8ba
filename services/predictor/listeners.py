"""Listeners: whoever has the page open, told of what has changed, at most once a second.

Invariant: while nobody listens nothing is looked at; there are never more than `LIMIT`, and all of
them have ended soon after the server is told to stop. Whatever becomes of the looks, each is sent
a sign of life at least every ten seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson
from fastapi.sse import ServerSentEvent

from services.predictor.board import Board, Sections
from services.predictor.problems import TooManyListeners

logger = logging.getLogger(__name__)
EVENTS = "/events"
LIMIT = 32
INTERVAL_SECONDS = 1.0
NAP_SECONDS = 0.1  # after which the end is noticed
RETRY_MILLISECONDS = 2000
ALIVE_SECONDS = 5.0  # half of what is promised: a busy process may be late


@dataclass(frozen=True, slots=True)
class Fault:
    """Of ours: since when (Unix time) what the page shows is no longer looked at, and why."""

    since_seconds: float
    error: str


class Listeners:
    """Of the event loop's thread alone, but for the looking.

    Args:
        board: looked at while there are any.
    """

    def __init__(self, board: Board) -> None:
        self.count = 0
        self._board = board
        self._sections: Sections = {}
        self._number = 0
        self._fault: Fault | None = None
        self._changed = asyncio.Condition()
        self._closing = False
        self._looking: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, "board")

    async def joined(self) -> AsyncIterator[None]:
        """A place among them, for as long as it is held.

        Raises:
            TooManyListeners: there is none left.
        """
        if self.count >= LIMIT:
            raise TooManyListeners(
                f"{self.count} pages are open, and no more are served at a time; close one, or ask "
                "/tasks, /accuracy-matrix and /metrics"
            )
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    async def listen(self) -> AsyncIterator[ServerSentEvent]:
        """First all sections, then those that change; `alive` among them, whether or not any
        does."""
        sent: Sections = {}
        number = self._number - bool(self._sections)  # others listen: what they have seen is new
        if self._looking is None and not self._closing:
            self._looking = asyncio.create_task(self._look())
        loop = asyncio.get_running_loop()
        due = loop.time() + ALIVE_SECONDS
        while True:
            newer = await self._newer_than(number, due)
            if self._closing:
                return
            if loop.time() >= due:
                due = loop.time() + ALIVE_SECONDS
                yield ServerSentEvent(event="alive", data={"now_seconds": time.time()})
            if not newer:
                continue
            number, sections = self._number, self._sections
            changed = {name: part for name, part in sections.items() if sent.get(name) != part}
            yield ServerSentEvent(
                raw_data=_data(changed, sent.keys() - sections.keys(), full=not sent),
                id=str(number),
                retry=None if sent else RETRY_MILLISECONDS,
            )
            sent = sections

    def close(self) -> None:
        """Have all of them end, and let there be no more."""
        self._closing = True

    async def closed(self) -> None:
        """Wait until nothing is looked at any more."""
        self.close()
        if self._looking is not None:
            await self._looking
        self._worker.shutdown()

    async def _look(self) -> None:
        """Until nobody listens any more."""
        loop = asyncio.get_running_loop()
        while self.count and not self._closing:
            started = loop.time()
            try:
                sections = await loop.run_in_executor(self._worker, self._board.look)
                self._fault = None
            except Exception as error:  # noqa: BLE001  the page stands still and says so
                sections = self._sections
                self._failed(error)
            self._sections = {**sections, "fault": orjson.dumps(self._fault)}
            self._number += 1
            await self._wake()
            while loop.time() - started < INTERVAL_SECONDS and not self._closing:
                await asyncio.sleep(NAP_SECONDS)
        self._looking, self._sections = None, {}
        await self._wake()

    def _failed(self, error: Exception) -> None:
        """A fault that lasts is logged once, not at every look."""
        text = f"{type(error).__name__}: {error}"
        if self._fault is None or self._fault.error != text:
            logger.error("what the page shows cannot be put together", exc_info=error)
            self._fault = Fault(self._fault.since_seconds if self._fault else time.time(), text)

    async def _newer_than(self, number: int, until: float) -> bool:
        """Wait for what is newer, or the end; False where there is neither by then (loop time)."""
        try:
            async with asyncio.timeout_at(until), self._changed:
                return await self._changed.wait_for(lambda: self._number > number or self._closing)
        except TimeoutError:
            return False

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _data(changed: Sections, gone: set[str], *, full: bool) -> str:
    """One line of JSON; the sections are in it as they are."""
    parts = b",".join(orjson.dumps(name) + b":" + part for name, part in changed.items())
    heading = {"now_seconds": time.time(), "full": full, "gone": sorted(gone)}
    return (orjson.dumps(heading)[:-1] + b',"sections":{' + parts + b"}}").decode()
