"""One listening socket, one event loop, an orderly end: the server of a learner and a predictor."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp, Scope

from services.web import security_headers
from services.web.certificates import Certificate
from services.web.connections import Config, Connection
from si_stream.settings.web import WebOptions

TICKS_A_SECOND = 10  # of uvicorn's


class Server(uvicorn.Server):
    """Lets requests in flight finish, for so long, and then ends them.

    Args:
        options: limits of its connections.
        certificate: None: what is said can be read on the way.
    """

    def __init__(
        self,
        app: ASGIApp,
        drain_seconds: int,
        options: WebOptions = WebOptions(),  # noqa: B008 - it never changes
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(config(app, drain_seconds + 1, options))
        self.drain_seconds = drain_seconds
        self._certificate = certificate
        if certificate is not None:
            self.config.load()
            self.config.ssl = certificate.context

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_SECOND == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.end_if_slow(now)
            if self._certificate is not None:
                self._certificate.renew()
        return await super().on_tick(counter)

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


def config(
    app: ASGIApp,
    drain_seconds: int,
    options: WebOptions = WebOptions(),  # noqa: B008 - it never changes
) -> Config:
    made = Config(
        app,
        loop="uvloop",
        http=Connection,
        ws="none",
        interface="asgi3",
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        headers=security_headers.ALWAYS,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level=logging.ERROR,  # a client's nonsense is no warning to the operator
        timeout_graceful_shutdown=drain_seconds,
    )
    made.max_connections = options.max_connections
    return made
