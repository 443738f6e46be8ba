"""Connections: a client that is slow, silent, many or too wordy holds up nobody for long."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.web import connections
from services.web.address import listen, url_of
from services.web.thread import served
from si_stream.settings.web import WebOptions

LARGE_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def usual() -> Iterator[str]:
    """The address of one with the usual limits."""
    with answering() as url:
        yield url


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/unread":
        await Response(b"unread")(scope, receive, send)
    elif scope["type"] == "http":
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        answer = bytes(LARGE_BYTES) if scope["path"] == "/large" else body
        await Response(answer)(scope, receive, send)


@contextmanager
def answering(**options: int) -> Iterator[str]:
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    with served(listener, lambda: application, 1, pytest.fail, WebOptions(**options)):  # type: ignore[arg-type]
        yield url


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def read_to_end(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def assert_problem(answer: bytes, status: int, name: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"Content-Type: application/problem+json" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b'"type":"urn:si-stream:problem:%s"' % name.encode() in body


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
ANSWERED = HEAD + b"Content-Length: 0\r\n\r\n"
DRIBBLES = {
    "nothing": b"",
    "half a line": b"PO",
    "half a head": HEAD,
    "half a header": HEAD + b"X-Name: val",
    "half a body": HEAD + b"Content-Length: 100\r\n\r\nhalf",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf",
    "a second request": ANSWERED + HEAD,
    "empty lines after a request": ANSWERED + b"\r\n",
}


def test_requests_that_do_not_come_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with answering() as url, ExitStack() as stack:
        opened = {name: stack.enter_context(connect(url)) for name in DRIBBLES}
        for name, sent in DRIBBLES.items():
            opened[name].sendall(sent)
        for name, connection in opened.items():
            answer = read_to_end(connection)
            if DRIBBLES[name].startswith(ANSWERED):
                answer = answer.partition(b"content-length: 0\r\n\r\n")[2]
            assert_problem(answer, 408, "too-slow")
        assert httpx.post(url, content=b"well").content == b"well"


def test_one_that_dribbles_without_a_pause_is_given_up_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with answering() as url, connect(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        connection.settimeout(0.01)
        answer = b""
        while not answer:
            try:
                connection.sendall(b"x")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert_problem(answer, 408, "too-slow")


def test_one_whose_body_comes_after_its_answer_is_not_held_open_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with answering() as url, connect(url) as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        while not connection.recv(65536).endswith(b"unread"):
            continue
        connection.sendall(b"late")
        assert_problem(read_to_end(connection), 408, "too-slow")


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.5)
    with answering() as url, connect(url) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        with connect(url) as watching:  # until the other has been cut off
            while True:
                watching.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert watching.recv(65536).startswith(b"HTTP/1.1 200 ")
                try:
                    connection.send(b"x")
                except (ConnectionResetError, BrokenPipeError):
                    break


@pytest.mark.parametrize(
    "head",
    [
        b"GET /%s HTTP/1.1\r\n" % (b"x" * 70_000),
        b"GET / HTTP/1.1\r\nX-Long: %s\r\n" % (b"x" * 70_000),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000,
        b"GET /?%s HTTP/1.1\r\n" % (b"a&" * 35_000),
    ],
    ids=["address", "header", "headers", "query"],
)
@pytest.mark.parametrize("ending", [b"\r\n", b""], ids=["whole", "without end"])
def test_a_head_that_is_too_large_is_refused(head: bytes, ending: bytes, usual: str) -> None:
    with connect(usual) as connection:
        connection.sendall(head + ending)
        if not ending:  # it goes on, until it is refused
            connection.sendall(b"X: y\r\n" * 50_000)
        assert_problem(read_to_end(connection), 431, "head-too-large")
    assert httpx.post(usual, content=b"well").content == b"well"


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_requests_that_do_not_wait_for_answers_are_answered_in_their_order(usual: str) -> None:
    with connect(usual) as connection:
        texts = [b"%d." % number for number in range(connections.PIPELINED)]
        connection.sendall(
            b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text for text in texts)
        )
        connection.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        bodies = [part.partition(b"\r\n\r\n")[2] for part in read_to_end(connection).split(b"HTTP")]
    assert bodies == [b"", *texts, b""]


def test_thousands_of_them_are_not_kept(usual: str) -> None:
    with connect(usual) as connection:
        connection.sendall(GET * 1000)
        assert_problem(read_to_end(connection), 429, "pipeline-full")
    assert httpx.post(usual, content=b"well").content == b"well"


def test_what_was_asked_before_nonsense_is_given_up_without_a_fault(
    usual: str, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(usual) as connection:
        connection.sendall(GET * 3 + b"nonsense\r\n\r\n")
        assert_problem(read_to_end(connection), 400, "not-http")
    with connect(usual) as connection:
        connection.sendall(GET * 3)
        reset = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert httpx.post(usual, content=b"well").content == b"well"
    assert not caplog.records


def test_a_head_within_the_limit_and_a_large_body_are_read(usual: str) -> None:
    headers, content = {"X-Long": "x" * 60_000}, bytes(5_000_000)
    assert httpx.post(usual, content=content, headers=headers, timeout=60).content == content


def test_more_connections_than_there_may_be_are_told_to_come_again() -> None:
    with answering(max_connections=3) as url, ExitStack() as stack:
        for _ in range(3):
            held = stack.enter_context(connect(url))
            held.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert held.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connect(url) as one_more:
            answer = read_to_end(one_more)
        assert_problem(answer, 503, "too-many-connections")
        assert b"Retry-After: 5" in answer
        stack.close()
        while True:  # as soon as the server has seen them go
            try:
                if httpx.post(url, content=b"well").content == b"well":
                    break
            except httpx.TransportError:
                continue


NONSENSE = {
    "bytes": b"\x00\x01\x02\r\n\r\n",
    "TLS at a port without": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a length and chunks": HEAD
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, but not at last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "a header over two lines": HEAD + b"X: a\r\n b: c\r\nContent-\r\n Length: 3\r\n\r\n",
    "a return in a header": HEAD + b"X: a\rContent-Length: 5\r\n\r\n",
    "nought in a header": HEAD + b"X: a\x00b\r\n\r\n",
    "a chunk of a huge size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a chunk of a negative size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a plus in the length": HEAD + b"Content-Length: +2\r\n\r\n{}",
}


@pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE.keys())
def test_what_two_servers_might_read_differently_is_not_read_at_all(
    sent: bytes, usual: str
) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(usual) as connection:
        connection.sendall(sent + smuggled)
        connection.shutdown(socket.SHUT_WR)
        answer = read_to_end(connection)
        assert_problem(answer, 400, "not-http")
        assert answer.count(b"HTTP/1.1 ") == 1


def test_an_upgrade_to_what_is_not_spoken_here_is_a_usual_request(usual: str) -> None:
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    assert httpx.get(usual, headers=headers).status_code == 200
