"""The body of a request, read within a limit of bytes and until a deadline.

Invariant: never more than the limit (and one chunk of the server's) is held, whatever the headers
promise; a promise beyond it is refused before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from services.predictor.deadlines import kept
from services.predictor.problems import BodyTooSlow, UnsupportedMediaType
from si_stream.errors import DeadlinePassed, InputTooLarge

Headers = Mapping[bytes, bytes]


async def read_body(
    headers: Headers, receive: Receive, max_bytes: int, deadline: float
) -> bytearray:
    """Raises:
    UnsupportedMediaType: it is compressed.
    InputTooLarge: it is, or promises to be, larger than ``max_bytes``.
    BodyTooSlow: it has not come by then.
    ClientDisconnect: nobody waits for the answer any more.
    """
    _check(headers, max_bytes)
    content = bytearray()
    while True:
        try:
            message = await kept(deadline, receive)
        except DeadlinePassed:
            raise BodyTooSlow(
                f"of the body {len(content)} bytes have come until the request's deadline "
                "(predictor.deadline_seconds, or what the request asks for); send it faster, or "
                "in smaller requests"
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message.get("body", b"")
        if len(content) > max_bytes:
            raise _too_large(f"of {len(content)} bytes and more", max_bytes)
        if not message.get("more_body", False):
            return content


def _check(headers: Headers, max_bytes: int) -> None:
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise _too_large(f"of {int(length)} bytes", max_bytes)
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        raise UnsupportedMediaType(
            f"the Content-Encoding is {text_of(encoding)}; send the body as it is, without one"
        )


def text_of(header: bytes) -> str:
    """For a message."""
    return f"{header.decode('latin-1')!a:.100}"


def _too_large(size: str, max_bytes: int) -> InputTooLarge:
    return InputTooLarge(
        f"a body {size} is too large, the limit is {max_bytes} (predictor.max_body_bytes); "
        "send the inputs in several requests"
    )
