"""A load balancer with its clients: sends requests to predictors in turn, and notes what becomes of
each.

As balancers do, it holds connections open, takes a predictor out of turn as soon as one of them
breaks or a check of its readiness fails, and back when a check succeeds. Unlike them it tries
nothing a second time. Invariant: every request that is due is sent, or noted as failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import NamedTuple

import orjson

CHECK_SECONDS = 0.25
LIMIT_SECONDS = 10.0
READY = b"GET /healthz/ready HTTP/1.1\r\nHost: predictor\r\n\r\n"

Version = tuple[int, int]


class Answer(NamedTuple):
    """What has become of one request; Unix times. One that failed has no version."""

    predictor: int | None
    started: float
    ended: float
    version: Version | None
    failure: str | None


class Connection(asyncio.Protocol):
    """One at a time is asked over it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.backend.lost(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the connection broke: {error}"))

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        status, *lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        if len(body) >= int(fields[b"content-length"]):
            self._held = b""
            self._answer.set_result((int(status.split()[1]), body))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Raises:
        OSError: there was no answer.
        """
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                return await self._answer
        except TimeoutError:
            self.transport.abort()
            raise OSError(f"no answer within {LIMIT_SECONDS:g} s") from None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Backend:
    """One predictor, whatever process is it at the time."""

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.port = port
        self.is_ready = False
        self.check_now = asyncio.Event()
        self._idle: list[Connection] = []

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        connection = self._idle.pop() if self._idle else await self._connected()
        answer = await connection.ask(request)
        self._idle.append(connection)
        return answer

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self), "127.0.0.1", self.port
        )
        return connection

    def lost(self, connection: Connection) -> None:
        with suppress(ValueError):
            self._idle.remove(connection)
        self.is_ready = False
        self.check_now.set()

    async def check(self) -> None:
        """Now, and from then on."""
        while True:
            self.check_now.clear()
            try:
                status, _ = await self.ask(READY)
                self.is_ready = status == 200
            except OSError:
                self.is_ready = False
                await asyncio.sleep(CHECK_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self.check_now.wait()

    def close(self) -> None:
        for connection in [*self._idle]:
            connection.close()


class Balancer:
    """Args:
    ports: of the predictors on this machine.
    requests: sent one after the other, over and over.
    per_second: of requests, sent when they are due, whatever the others do meanwhile.
    """

    def __init__(self, ports: Sequence[int], requests: Sequence[bytes], per_second: float) -> None:
        self.answers: list[Answer] = []
        self._ports = ports
        self._requests = requests
        self._per_second = per_second
        self._enough = False
        self._ready: list[bool] = [False] * len(ports)
        self._thread = Thread(target=lambda: asyncio.run(self._work()), name="balancer")

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> list[Answer]:
        """All answers, once the last request has its own."""
        self._enough = True
        self._thread.join()
        return self.answers

    @property
    def ready(self) -> list[bool]:
        """Of each predictor, whether it is in turn."""
        return self._ready

    async def _work(self) -> None:
        backends = [Backend(number, port) for number, port in enumerate(self._ports)]
        checks = [asyncio.create_task(backend.check()) for backend in backends]
        asking: set[asyncio.Task[None]] = set()
        began, sent, turn = time.monotonic(), 0, 0
        while not self._enough:
            self._ready = [backend.is_ready for backend in backends]
            in_turn = [backend for backend in backends if backend.is_ready]
            if sent == 0 and len(in_turn) < len(backends):  # nobody has come yet
                began = time.monotonic()
            elif time.monotonic() >= began + sent / self._per_second:
                backend = in_turn[turn % len(in_turn)] if in_turn else None
                turn += 1
                task = asyncio.create_task(
                    self._ask(backend, self._requests[sent % len(self._requests)])
                )
                asking.add(task)
                task.add_done_callback(asking.discard)
                sent += 1
                await asyncio.sleep(0)  # so that what has broken is noticed before the next
                continue
            await asyncio.sleep(0.2 / self._per_second)
        await asyncio.gather(*asking)
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
        for backend in backends:
            backend.close()

    async def _ask(self, backend: Backend | None, request: bytes) -> None:
        started = time.time()
        if backend is None:
            self._note(None, started, None, "no predictor is ready")
            return
        try:
            status, body = await backend.ask(request)
        except OSError as error:
            self._note(backend.number, started, None, f"{type(error).__name__}: {error}")
            return
        if status != 200:
            self._note(backend.number, started, None, f"{status} {body.decode()[:300]}")
            return
        self._note(backend.number, started, version_of(orjson.loads(body)), None)

    def _note(
        self, predictor: int | None, started: float, version: Version | None, failure: str | None
    ) -> None:
        self.answers.append(Answer(predictor, started, time.time(), version, failure))


def version_of(answer: dict[str, object]) -> Version:
    """Of /predict, and of the Open Inference Protocol, which has it as a text."""
    if "model_version" in answer:
        epoch, step = str(answer["model_version"]).split(".")
        return int(epoch), int(step)
    version = answer["version"]
    assert isinstance(version, dict)
    return version["epoch"], version["step"]


def post(path: str, media_type: str, body: bytes, **fields: object) -> bytes:
    """A request with its body; fields of its head with _ for -."""
    named = {"Host": "predictor", "Content-Type": media_type, "Content-Length": len(body), **fields}
    head = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
    return f"POST {path} HTTP/1.1\r\n{''.join(head)}\r\n".encode() + body
