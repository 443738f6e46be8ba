"""The body of a request, read within a limit of bytes and of time.

Invariant: never more than the limit (and one chunk of the server's) is held, whatever the headers
promise; a promise beyond it is refused before anything is read.
"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from services.predictor.problems import BodyTooSlow, UnsupportedMediaType
from si_stream.errors import InputTooLarge

JSON, ROWS = "application/json", "application/octet-stream"
SECONDS = 60.0


def media_type(request: Request) -> str:
    """`JSON` or `ROWS`.

    Raises:
        UnsupportedMediaType: the body is something else, or compressed.
    """
    headers = request.headers
    declared = headers.get("content-type", "")
    name = declared.partition(";")[0].strip().lower()
    if name not in (JSON, ROWS):
        given = f"is {declared!a:.100}" if declared else "is not given"
        raise UnsupportedMediaType(
            f"the Content-Type {given}; send {JSON}, or {ROWS} for raw rows "
            f"(curl: -H 'Content-Type: {JSON}')"
        )
    if coding := headers.get("content-encoding"):
        raise UnsupportedMediaType(
            f"the Content-Encoding is {coding!a:.100}; send the body as it is, without one"
        )
    return name


async def read_body(request: Request, max_bytes: int, seconds: float = SECONDS) -> bytearray:
    """Raises:
    InputTooLarge: it is, or promises to be, larger than ``max_bytes``.
    BodyTooSlow: it has not come whole after so many seconds.
    ClientDisconnect: nobody waits for the answer any more.
    """
    promised = request.headers.get("content-length")
    if promised is not None and int(promised) > max_bytes:
        raise _too_large(f"of {promised} bytes", max_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await _read(request.receive, max_bytes)
    except TimeoutError:
        raise BodyTooSlow(
            f"the body was not there {seconds:g} seconds after its headers, the limit; "
            "send fewer inputs at a time"
        ) from None


async def _read(receive: Receive, max_bytes: int) -> bytearray:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(f"of {len(body)} bytes and more", max_bytes)
        if not message.get("more_body", False):
            return body


def _too_large(size: str, max_bytes: int) -> InputTooLarge:
    return InputTooLarge(
        f"a body {size} is too large, the limit is {max_bytes} (predictor.max_body_bytes); "
        "send the inputs in several requests"
    )
