"""The predictor as a process: one listening socket, one worker, an orderly end.

Invariant: once the address has been logged, connections are accepted; SIGTERM and Ctrl-C let the
requests in flight finish and end with 0.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from types import FrameType

import torch

from services.logs import log_to_stderr
from services.predictor.app import create_app
from services.predictor.front import Front
from services.predictor.listeners import EVENTS
from services.predictor.locks import locked
from services.web.address import url_of, warn_of_open_door
from services.web.certificates import Certificate
from services.web.server import Server as WebServer
from services.web.tokens import Tokens
from si_stream.settings import PredictorOptions, Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 20  # for predictions, and with the next for all: within the usual 30
CLOSING_SECONDS = 5  # for what else is in flight then
PAGES_SECONDS = 1.0  # for the open pages to take their end


def serve(
    settings: Settings, listener: socket.socket, token: Tokens, certificate: Certificate | None
) -> None:
    """See `services.predictor.run`."""
    log_to_stderr(settings.log)
    options = settings.predictor
    torch.set_num_threads(options.threads)
    app = create_app(options, settings.directory, settings.model.network.module)
    server = Server(app, options, token, certificate)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own while it serves; these are for the moments before and after.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gc.collect()
    gc.freeze()  # what the imports made never dies, and to look it all through takes long
    url = url_of(listener, tls=certificate is not None)
    source = options.source or settings.directory
    logger.info("predictor on %s, following %s", url, source)
    warn_of_open_door("predictor.token", options.host, is_open=not token)
    server.run(sockets=[listener])


class Server(WebServer):
    """Until predictions in flight are answered, whoever asks for one more on an open connection is
    told to go elsewhere, and there are no new connections. Ends the open pages too, which would go
    on, also where one does not read what it is sent."""

    def __init__(
        self,
        app: Front,
        options: PredictorOptions,
        token: Tokens,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(locked(app, options, token), CLOSING_SECONDS, options, certificate)
        self.admission = app.prediction.admission
        self.listeners = app.listeners
        app.abort = lambda scope: self.abort(lambda other: other is scope)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.admission.close()
        self.listeners.close()
        asyncio.get_running_loop().call_later(
            PAGES_SECONDS, self.abort, lambda scope: scope["path"] == EVENTS
        )
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        await self.admission.emptied(DRAIN_SECONDS)
        await super().shutdown(sockets)
