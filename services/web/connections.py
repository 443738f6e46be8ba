"""A connection, and how much of it a client may use.

Invariant: a request has come whole within `REQUEST_SECONDS`, and its head has `HEAD_BYTES` at most,
or its connection ends; so does one whose client reads nothing for `SEND_SECONDS`. More than
`max_connections` are never open. So a client that dribbles, or goes silent, holds none for long.
No more than `PIPELINED` requests wait behind the one that is being answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.web import security_headers
from services.web.problems import LATER, MEDIA_TYPE, Kind, Problem

REQUEST_SECONDS = 30.0
SEND_SECONDS = 60.0  # for the 64 KiB that the kernel does not take: a kilobyte a second
HEAD_BYTES = 64 * 1024
PIPELINED = 32  # the framework would take thousands at once; browsers and libraries send none
REFUSED_SECONDS = 2.0

NOT_HTTP = Kind(400, "not-http", "It is not HTTP", "what was sent is not HTTP/1.1")
TOO_SLOW = Kind(
    408,
    "too-slow",
    "The request does not come",
    f"the request has not come whole within {REQUEST_SECONDS:g} s; send it at once",
)
HEAD_TOO_LARGE = Kind(
    431,
    "head-too-large",
    "The request's head is too large",
    f"address and headers have more than {HEAD_BYTES} bytes together; shorten them",
)
PIPELINE_FULL = Kind(
    429,
    "pipeline-full",
    "Too many requests are sent without waiting for an answer",
    f"more than {PIPELINED} requests wait on one connection; wait for answers before sending more",
)
TOO_MANY_CONNECTIONS = Kind(
    503,
    "too-many-connections",
    "There are too many connections",
    "all connections that this server keeps open are taken; close some, or ask again",
    LATER,
)


class Config(uvicorn.Config):
    """Of a server whose connections have limits."""

    max_connections: int


class Connection(HttpToolsProtocol):
    """What uvicorn has, with limits."""

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._max_connections = config.max_connections
        self._began: float | None = None
        """When the request began that has not come whole yet. One whose bytes have not begun counts
        too: on a new connection, or when the one before has been answered."""
        self._running: RequestResponseCycle | None = None
        """The request that is being answered, or was at last; `cycle` is the last one of all."""
        self._stalled: float | None = None
        """Since when the client reads nothing of what it was sent."""
        self._head_bytes: int | None = None
        """Of the head that has not come whole yet; None where there is none."""
        self._refused: float | None = None
        """Since when nothing that comes is looked at any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began = self.loop.time()
        if len(self.connections) > self._max_connections:
            self._refuse(TOO_MANY_CONNECTIONS)
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        in_head = self._head_bytes is not None  # one that began in this piece begins anywhere in it
        super().data_received(data)
        if in_head and self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._began = self.loop.time()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        if self._refused is not None:
            return
        if len(self.pipeline) >= PIPELINED:
            self._refuse(PIPELINE_FULL)
            return
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
            return
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        if self._refused is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused is not None:
            return
        self._began = self.loop.time() if self.cycle.response_complete else None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        else:
            self._began = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._give_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = None

    def send_400_response(self, msg: str) -> None:
        if self._refused is None:
            self._refuse(NOT_HTTP)

    def end_if_slow(self, now: float) -> None:
        """Args:
        now: by the loop's clock.
        """
        has_stalled = self._stalled is not None and now - self._stalled > SEND_SECONDS
        was_refused = self._refused is not None and now - self._refused > REFUSED_SECONDS
        if has_stalled or was_refused:
            self.transport.abort()
        elif self._began is not None and now - self._began > REQUEST_SECONDS:
            self._refuse(TOO_SLOW)

    def _refuse(self, kind: Kind) -> None:
        """End the connection; with a problem, where no other answer has begun.

        What is still sent is read, and thrown away, for a moment: the kernel would answer it with a
        reset, in which the problem is lost.
        """
        self._refused = self.loop.time()
        running = self._running
        self._give_up()
        if running and running.response_started and not running.response_complete:
            self.transport.close()
            return
        self.transport.write(_answer(kind))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS
            self.transport.close()

    def _give_up(self) -> None:
        """What the application says now is too late, and what waits is not begun."""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()


def _answer(kind: Kind) -> bytes:
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=kind.example,
        error=kind.example,
    )
    body = orjson.dumps(problem.model_dump(exclude_none=True))
    headers = [
        *security_headers.ALWAYS,
        *((name.decode(), value.decode()) for name, value in security_headers.DATA),
        ("Content-Type", MEDIA_TYPE),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *kind.headers,
    ]
    lines = [f"HTTP/1.1 {kind.status} {kind.title}", *(f"{k}: {v}" for k, v in headers), "", ""]
    return "\r\n".join(lines).encode() + body
