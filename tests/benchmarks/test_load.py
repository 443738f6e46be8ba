"""The client that measures: requests at fixed times, whatever became of those before."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from benchmarks.load import closed_loop, open_loop, post

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = post("/predict", b"\0" * 784)
STALL_SECONDS = 0.2


@contextmanager
def server(answer: bytes = ANSWER, *, pieces: int = 1, stall_at: int = -1) -> Iterator[int]:
    """Answers one request at a time; with one of them it takes its time. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        turn = threading.Lock()
        served = iter(range(1_000_000))

        def answer_all(connection: socket.socket) -> None:
            with connection, suppress(ConnectionError):  # the client may leave
                while connection.recv(len(REQUEST), socket.MSG_WAITALL):
                    with turn:
                        if next(served) == stall_at:
                            time.sleep(STALL_SECONDS)
                    for first in range(0, len(answer), -(-len(answer) // pieces)):
                        connection.sendall(answer[first : first + -(-len(answer) // pieces)])
                        time.sleep(0.001)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer_all, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def test_a_stall_is_felt_by_every_request_that_was_due_in_it() -> None:
    """A client that waits for one answer before it asks again would see one slow request."""
    with server(stall_at=5) as port:
        seconds = open_loop(port, REQUEST, per_second=200, count=60)
    assert len(seconds) == 60
    assert max(seconds) >= STALL_SECONDS
    assert sum(second > STALL_SECONDS / 2 for second in seconds) >= 15


def test_an_answer_may_come_in_pieces() -> None:
    with server(pieces=7) as port:
        closed_loop(port, REQUEST, count=3)


@pytest.mark.parametrize("loop", [partial(open_loop, per_second=200), closed_loop])
def test_an_answer_that_is_an_error_is_no_measurement(loop: Callable[..., object]) -> None:
    unavailable = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with server(unavailable) as port, pytest.raises(RuntimeError, match="503 Service Unavailable"):
        loop(port, REQUEST, count=3)
