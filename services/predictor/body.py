"""The body of a request for predictions: of a media type that can be read, within the limit."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Receive, Scope

from services.predictor.problems import UnsupportedMediaType
from services.web.body import read_content

JSON, ROWS = "application/json", "application/octet-stream"
ADVICE = "(predictor.max_body_bytes); send the inputs in several requests"


class Body(NamedTuple):
    media_type: str  # JSON or ROWS
    content: bytearray


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> Body:
    """Raises:
    UnsupportedMediaType: it is something else than JSON or raw rows, or compressed.
    InputTooLarge: it is, or promises to be, larger than ``max_bytes``.
    ClientDisconnect: nobody waits for the answer any more.
    """
    media_type = _media_type(scope)
    return Body(media_type, await read_content(scope, receive, max_bytes, ADVICE))


def _media_type(scope: Scope) -> str:
    declared = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            declared = value
        elif name == b"content-encoding":
            raise UnsupportedMediaType(
                f"the Content-Encoding is {_text(value)}; send the body as it is, without one"
            )
    media_type = declared.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in (JSON, ROWS):
        raise UnsupportedMediaType(
            f"the Content-Type is {_text(declared) if declared else 'not given'}; send {JSON}, or "
            f"{ROWS} for raw rows (curl: -H 'Content-Type: {JSON}')"
        )
    return media_type


def _text(header: bytes) -> str:
    return f"{header.decode('latin-1')!a:.100}"
