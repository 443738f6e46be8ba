"""Headers that tell a browser what an answer may be used for.

Invariant: each answer has those of `ALWAYS`, also one that no application was asked for; what an
answer says of itself, as the page does, goes before those of `DATA`. Nothing allows other origins.
"""

from __future__ import annotations

from starlette.types import Message

ALWAYS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
DATA = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
"""Of an answer that is no page: nothing keeps it, and a browser that shows it runs nothing."""


def complete(message: Message) -> None:
    """Give the start of an answer those of `DATA` that it has not."""
    headers = message["headers"] = list(message.get("headers", ()))
    own = {name.lower() for name, _ in headers}
    headers += [header for header in DATA if header[0] not in own]
