"""One listening socket, one event loop, an orderly end: the server of a learner and a predictor."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp, Scope


class Server(uvicorn.Server):
    """Lets requests in flight finish, for so long, and then ends them."""

    def __init__(self, app: ASGIApp, drain_seconds: int) -> None:
        super().__init__(config(app, drain_seconds + 1))
        self.drain_seconds = drain_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self.drain_seconds, self.abort, lambda _scope: True)
        await super().shutdown(sockets)

    def abort(self, ends: Callable[[Scope], bool]) -> None:
        """Those connections whose last request is such a one, with what they have not read."""
        for connection in list(self.server_state.connections):
            scope = getattr(connection, "scope", None)
            if scope is not None and ends(scope):
                connection.transport.abort()


def config(app: ASGIApp, drain_seconds: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level=logging.ERROR,  # a client's nonsense is no warning to the operator
        timeout_graceful_shutdown=drain_seconds,
    )
