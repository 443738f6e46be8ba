"""What tests ask a predictor that follows a learner by its URL, and do to the way between them."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from services.web.files import PIECE_BYTES
from tests.services.predictor.serving import (
    Running,
    Teacher,
    wait_for,
)
from tests.services.tcp_proxy import TcpProxy


def version(running: Running) -> tuple[int, int] | None:
    answer = running.client.get("/healthz/ready")
    if answer.status_code != 200:
        return None
    return (answer.json()["version"]["epoch"], answer.json()["version"]["step"])


def serves(running: Running, epoch: int, step: int) -> None:
    wait_for(lambda: version(running) == (epoch, step))


def source(running: Running) -> dict[str, Any]:
    answer: dict[str, Any] = running.client.get("/source").json()
    return answer


def failures(running: Running, reason: str) -> float:
    name = f'si_stream_source_failures_total{{reason="{reason}"}} '
    lines = running.client.get("/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def goes_on_to_fail(running: Running, reason: str) -> None:
    before = failures(running, reason)
    wait_for(lambda: failures(running, reason) > before + 2)


def receives_more(running: Running) -> None:
    followed = running.app.metrics.mirror
    assert followed is not None
    before = followed.learner.received_bytes
    wait_for(lambda: followed.learner.received_bytes > before)


def cut_surely(proxy: TcpProxy) -> None:
    """Also where what still comes was on its way from a connection that is cut already."""
    before = proxy.cut_connections
    while proxy.cut_connections == before:
        sleep(0.01)
        proxy.cut()


def large(teacher: Teacher, pieces: int = 64) -> Path:
    """A snapshot that takes several pieces to send, and is served all the same."""
    wide = teacher.model.network.model_copy(update={"hidden": (pieces * PIECE_BYTES // 24,)})
    other = Teacher(teacher.store.epochs.parent, teacher.model.model_copy(update={"network": wide}))
    other.teach(1)
    return other.publish()


@contextmanager
def full_disk(room_bytes: int = 16) -> Iterator[None]:
    """No file may grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
