"""The body of a request for predictions, read within a limit of bytes and until a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from starlette.types import Message, Receive, Scope

from services.predictor.messages import message_there
from services.predictor.problems import BodyTooSlow, UnsupportedMediaType
from services.web.body import read_content

Headers = Mapping[bytes, bytes]
Content = bytes | bytearray
ADVICE = "(predictor.max_body_bytes); send the inputs in several requests"


async def read_body(
    scope: Scope, headers: Headers, receive: Receive, max_bytes: int, deadline: float
) -> Content:
    """Raises:
    UnsupportedMediaType: it is compressed.
    InputTooLarge: it is, or promises to be, larger than ``max_bytes``.
    BodyTooSlow: it has not come by then.
    ClientDisconnect: nobody waits for the answer any more.
    """
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        raise UnsupportedMediaType(
            f"the Content-Encoding is {text_of(encoding)}; send the body as it is, without one"
        )
    # One who waits to be told to send the body is told so only if its length will do.
    first = None if b"expect" in headers else message_there(receive)
    if first is not None and not first.get("more_body", True):
        content: bytes = first["body"]
        if len(content) <= max_bytes:
            return content  # it came with the head, as mostly, and there was nothing to wait for

    async def rest() -> Message:
        nonlocal first
        message, first = first or await receive(), None
        return message

    try:
        async with asyncio.timeout(deadline - monotonic()):
            return await read_content(scope, rest, max_bytes, ADVICE)
    except TimeoutError:
        raise BodyTooSlow(
            "the body has not come until the request's deadline (predictor.deadline_seconds, or "
            "what the request asks for); send it faster, or in smaller requests"
        ) from None


def text_of(header: bytes) -> str:
    """For a message."""
    return f"{header.decode('latin-1')!a:.100}"
