"""A TCP proxy between a client and a server, which can cut the connections that it carries."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Self


class TcpProxy:
    """Args:
    port: of 127.0.0.1, at which it listens; 0 takes any free one.
    target: the port of 127.0.0.1 to which it carries what comes.
    """

    def __init__(self, port: int, target: int) -> None:
        self.cut_connections = 0
        self._target = target
        self._lock = Lock()
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def cut(self) -> None:
        """End all connections now; new ones are carried again."""
        with self._lock:
            cut, self._open = self._open, []
        self.cut_connections += len(cut)
        for pair in cut:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        self.cut()
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open.append((client, server))
            self._start(self._carry, client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Both ways, until either end closes; then both are closed."""
        with client, server:
            back = Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join()
        with self._lock:
            self._open = [pair for pair in self._open if pair != (client, server)]

    def _start(self, run: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(Thread(target=run, args=arguments))
        self._threads[-1].start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
