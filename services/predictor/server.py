"""The predictor as a process: one listening socket, one worker, an orderly end.

Invariant: once the address has been logged, connections are accepted; SIGTERM and Ctrl-C let the
requests in flight finish and end with 0.
"""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
from types import FrameType

import torch
import uvicorn

from services.predictor.app import create_app
from si_stream.errors import SettingsError
from si_stream.settings import Settings

logger = logging.getLogger(__name__)

BACKLOG = 2048
DRAIN_SECONDS = 20  # within the 30 that orchestrators grant


def serve(settings: Settings) -> None:
    """See `services.predictor.run`."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    options = settings.predictor
    torch.set_num_threads(options.threads)
    app = create_app(options, settings.directory)
    listener = listen(options.host, options.port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            log_config=None,
            log_level=logging.ERROR,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own while it serves; these are for the moments before and after.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gc.collect()
    gc.freeze()  # what the imports made never dies: without it, to look it all through costs 50 ms
    logger.info("predictor on %s, following %s", address(listener), settings.directory)
    server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Raises:
        SettingsError: the port is in use, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} of {host} is in use; stop what listens there, or take another one "
                "with --port (0 takes any free one)"
            ) from None
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "choose an address of this machine with --host and a port with --port"
        ) from None


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
