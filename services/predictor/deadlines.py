"""Deadlines: until when somebody waits for an answer, in seconds of the monotonic clock.

Invariant: what a client asks for can only make the predictor's own deadline earlier.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from time import monotonic
from typing import Any, TypeVar

from si_stream.errors import DeadlinePassed, MalformedRequest

HEADER = b"deadline-seconds"
NUMBER = re.compile(rb"\d+(\.\d+)?([eE][+-]?\d+)?")
T = TypeVar("T")


def deadline_of(headers: Mapping[bytes, bytes], limit_seconds: float) -> float:
    """Of a request that begins now.

    Raises:
        MalformedRequest: its header is no positive number.
    """
    given = headers.get(HEADER)
    return monotonic() + (limit_seconds if given is None else min(limit_seconds, _seconds(given)))


def _seconds(given: bytes) -> float:
    seconds = float(given) if NUMBER.fullmatch(given) else 0.0
    if not seconds:
        raise MalformedRequest(
            f"the header Deadline-Seconds is {given.decode('latin-1')!a:.100}; "
            "send a number above 0, such as 0.25, or leave it out"
        )
    return seconds


async def kept(deadline: float, awaited: asyncio.Future[T]) -> T:
    """What is waited for.

    Raises:
        DeadlinePassed: it does not come in time.
    """
    seconds = max(0.0, deadline - monotonic())
    timer = asyncio.get_running_loop().call_later(seconds, _expire, awaited)
    try:
        return await awaited
    finally:
        timer.cancel()


def _expire(awaited: asyncio.Future[Any]) -> None:
    if not awaited.done():
        awaited.set_exception(passed())


def passed() -> DeadlinePassed:
    return DeadlinePassed(
        "the request has waited until its deadline, and was not computed "
        "(predictor.deadline_seconds, or what the request asks for); ask again when there is less "
        "to do, or another predictor"
    )
