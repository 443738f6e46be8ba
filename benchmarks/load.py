"""A light HTTP client of one thread: the same request over and over, on connections kept open.

Light, because on two cores it works beside the server that it measures.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

CONNECTIONS = 16
PATIENCE_SECONDS = 10


def post(path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of a request; an underscore in a header's name stands for a dash."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/octet-stream"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def open_loop(port: int, request: bytes, per_second: float, count: int) -> list[float]:
    """Seconds to each answer, counted from the moment when the request was due.

    Requests are due at fixed times, whether or not earlier ones have been answered; where all
    connections are taken one waits, and its wait counts. So a slow answer cannot make room for
    itself by holding back those that would have come after it.

    Raises:
        RuntimeError: an answer is not 200, or none comes.
    """
    with _connections(port, CONNECTIONS) as connections:
        free = deque(connections)  # each in its turn, so that none is idle until it is closed
        seconds: list[float] = []
        waiting: deque[float] = deque()
        asked: dict[socket.socket, float] = {}
        start = perf_counter() + 0.01
        sent = 0
        while len(seconds) < count:
            next_due = start + sent / per_second
            pause = next_due - perf_counter() if sent < count else PATIENCE_SECONDS
            # select, as it waits to the microsecond where poll and epoll do to the millisecond.
            readable, _, _ = select.select(list(asked), [], [], max(0.0, pause))
            if sent == count and not readable:
                raise RuntimeError(f"no answer came within {PATIENCE_SECONDS} s")
            for connection in readable:
                _receive(connection)
                seconds.append(perf_counter() - asked.pop(connection))
                free.append(connection)
            if sent < count and perf_counter() >= next_due:
                waiting.append(next_due)
                sent += 1
            while waiting and free:
                connection = free.popleft()
                connection.sendall(request)
                asked[connection] = waiting.popleft()
        return seconds


def closed_loop(port: int, request: bytes, count: int) -> None:
    """One request after the other, each when the one before it has been answered."""
    with _connections(port, 1) as connections:
        for _ in range(count):
            connections[0].sendall(request)
            _receive(connections[0])


def closed_loops(port: int, request: bytes, clients: int, count: int) -> float:
    """Seconds to so many answers, of clients that each ask again as soon as they are answered.

    Raises:
        RuntimeError: an answer is not 200, or none comes.
    """
    with _connections(port, clients) as connections, select.epoll() as poll:
        by_number = {connection.fileno(): connection for connection in connections}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        start = perf_counter()
        for connection in connections[:count]:
            connection.sendall(request)
        sent, answered = min(clients, count), 0
        while answered < count:
            readable = poll.poll(PATIENCE_SECONDS)
            if not readable:
                raise RuntimeError(f"no answer came within {PATIENCE_SECONDS} s")
            for number, _ in readable:
                _receive(by_number[number])
                answered += 1
                if sent < count:
                    by_number[number].sendall(request)
                    sent += 1
        return perf_counter() - start


@contextmanager
def _connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    opened = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.append(connection)
        yield list(opened)
    finally:
        for connection in opened:
            connection.close()


def _receive(connection: socket.socket) -> None:
    """Take in one whole answer."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _some(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server answered {answer[:1000].decode(errors='replace')}")
    fields = head.lower().partition(b"\r\ncontent-length:")[2]
    missing = int(fields.partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(_some(connection))


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError("the server closed the connection in the middle of an answer")
    return data
