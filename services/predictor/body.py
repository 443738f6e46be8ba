"""The body of a request for predictions, read within a limit of bytes and until a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from starlette.types import Receive, Scope

from services.predictor.deadlines import kept
from services.predictor.problems import BodyTooSlow, UnsupportedMediaType
from services.web.body import read_content
from si_stream.errors import DeadlinePassed

Headers = Mapping[bytes, bytes]
ADVICE = "(predictor.max_body_bytes); send the inputs in several requests"


async def read_body(
    scope: Scope, headers: Headers, receive: Receive, max_bytes: int, deadline: float
) -> bytearray:
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
    try:
        return await kept(deadline, partial(read_content, scope, receive, max_bytes, ADVICE))
    except DeadlinePassed:
        raise BodyTooSlow(
            "the body has not come until the request's deadline (predictor.deadline_seconds, or "
            "what the request asks for); send it faster, or in smaller requests"
        ) from None


def text_of(header: bytes) -> str:
    """For a message."""
    return f"{header.decode('latin-1')!a:.100}"
