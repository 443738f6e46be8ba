"""Deadlines: until when somebody waits for an answer, in seconds of the monotonic clock.

Invariant: what a client asks for can only make the predictor's own deadline earlier.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import TypeVar

from starlette.types import Receive

from si_stream.errors import DeadlinePassed, MalformedRequest

HEADER = b"deadline-seconds"
T = TypeVar("T")


def deadline_of(headers: Mapping[bytes, bytes], limit_seconds: float) -> float:
    """Of a request that begins now.

    Raises:
        MalformedRequest: its header is no positive number.
    """
    given = headers.get(HEADER)
    return monotonic() + (limit_seconds if given is None else min(limit_seconds, _seconds(given)))


def _seconds(given: bytes) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise MalformedRequest(
            f"the header Deadline-Seconds is {given.decode('latin-1')!a:.100}; "
            "send a number above 0, such as 0.25, or leave it out"
        )
    return seconds


async def kept(deadline: float, wait: Callable[[], Awaitable[T]]) -> T:
    """What is waited for.

    Raises:
        DeadlinePassed: it does not come in time.
    """
    try:
        async with asyncio.timeout(deadline - monotonic()):
            return await wait()
    except TimeoutError:
        raise passed() from None


def passed() -> DeadlinePassed:
    return DeadlinePassed(
        "the request has waited until its deadline, and was not computed "
        "(predictor.deadline_seconds, or what the request asks for); ask again when there is less "
        "to do, or another predictor"
    )


def is_gone(receive: Receive) -> bool:
    """Whether the client of a request whose body has been read has hung up meanwhile.

    One step of the coroutine shows what is there already; the next message of a client who stays
    never comes.
    """
    step = receive().__await__()
    try:
        next(step)
    except StopIteration as message:
        return bool(message.value["type"] == "http.disconnect")
    step.close()
    return False
