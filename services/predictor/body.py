"""The body of a request, read within a limit of bytes.

Invariant: never more than the limit (and one chunk of the server's) is held, whatever the headers
promise; a promise beyond it is refused before anything is read.
"""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from services.predictor.problems import UnsupportedMediaType
from si_stream.errors import InputTooLarge

JSON, ROWS = "application/json", "application/octet-stream"


class Body(NamedTuple):
    media_type: str  # JSON or ROWS
    content: bytearray


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> Body:
    """Raises:
    UnsupportedMediaType: it is something else than JSON or raw rows, or compressed.
    InputTooLarge: it is, or promises to be, larger than ``max_bytes``.
    ClientDisconnect: nobody waits for the answer any more.
    """
    media_type = _read_headers(scope, max_bytes)
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message.get("body", b"")
        if len(content) > max_bytes:
            raise _too_large(f"of {len(content)} bytes and more", max_bytes)
        if not message.get("more_body", False):
            return Body(media_type, content)


def _read_headers(scope: Scope, max_bytes: int) -> str:
    declared = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            declared = value
        elif name == b"content-length" and int(value) > max_bytes:
            raise _too_large(f"of {int(value)} bytes", max_bytes)
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


def _too_large(size: str, max_bytes: int) -> InputTooLarge:
    return InputTooLarge(
        f"a body {size} is too large, the limit is {max_bytes} (predictor.max_body_bytes); "
        "send the inputs in several requests"
    )
