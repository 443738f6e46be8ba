"""The body of a request, read within a limit of bytes.

Invariant: never more than the limit (and one chunk of the server's) is held, whatever the headers
promise; a promise beyond it is refused before anything is read.
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from si_stream.errors import InputTooLarge


async def read_content(scope: Scope, receive: Receive, max_bytes: int, advice: str) -> bytearray:
    """Args:
    advice: what to do about a body that is too large; where the limit is set.

    Raises:
        InputTooLarge: it is, or promises to be, larger than ``max_bytes``.
        ClientDisconnect: nobody waits for the answer any more.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > max_bytes:
            raise _too_large(f"of {int(value)} bytes", max_bytes, advice)
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message.get("body", b"")
        if len(content) > max_bytes:
            raise _too_large(f"of {len(content)} bytes and more", max_bytes, advice)
        if not message.get("more_body", False):
            return content


def _too_large(size: str, max_bytes: int, advice: str) -> InputTooLarge:
    return InputTooLarge(f"a body {size} is too large, the limit is {max_bytes} {advice}")
