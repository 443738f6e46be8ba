"""A server on a thread beside other work.

Invariant: whatever ends it is known: without being asked to, it is logged with its traceback, told
to whoever goes on with the work, and raised when the work is done.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from services.web.certificates import Certificate
from si_stream.errors import ProcessEnded
from si_stream.settings.web import WebOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from services.web.server import Server

logger = logging.getLogger(__name__)


class ServerThread:
    """Args:
    make: the application; called on the thread, so that what it imports holds up nobody.
    crashed: called where it ends without being asked to.
    options: see `Server`, as for ``certificate``.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], ASGIApp],
        drain_seconds: int,
        crashed: Callable[[], None],
        options: WebOptions,
        certificate: Certificate | None,
    ) -> None:
        self._limits = (options, certificate)
        self._listener = listener
        self._make = make
        self._drain_seconds = drain_seconds
        self._crashed = crashed
        self._server: Server | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Raises:
        ProcessEnded: it had ended before.
        """
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()
        if self._failure is not None:
            raise ProcessEnded(
                f"the HTTP server had ended before ({self._failure!r}); the lines above say why"
            ) from self._failure

    def _run(self) -> None:
        from services.web.server import Server

        try:
            self._server = server = Server(self._make(), self._drain_seconds, *self._limits)
            if not self._stopping:
                server.run(sockets=[self._listener])
            if not self._stopping:
                raise RuntimeError("it ended without being asked to")
        except BaseException as failure:
            self._failure = failure
            self._listener.close()  # whoever asks is refused, and does not wait for an answer
            logger.critical("the HTTP server has ended", exc_info=failure)
            self._crashed()


@contextmanager
def served(
    listener: socket.socket,
    make: Callable[[], ASGIApp],
    drain_seconds: int,
    crashed: Callable[[], None],
    options: WebOptions = WebOptions(),  # noqa: B008 - it never changes
    certificate: Certificate | None = None,
) -> Iterator[None]:
    """Serve it meanwhile. See `ServerThread`."""
    with listener:
        thread = ServerThread(listener, make, drain_seconds, crashed, options, certificate)
        try:
            yield
        finally:
            thread.stop()
