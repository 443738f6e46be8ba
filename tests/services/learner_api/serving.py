"""A learner's routes on a real socket, without the learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from services.boundary_requests import BoundaryRequests
from services.learner import known_task
from services.learner_api import Told, answering
from services.learner_status import LearnerStatus
from si_stream.brokers.interface import Broker
from si_stream.state import State
from tests.services.statuses import a_status
from tests.streams import memory_broker, settings


@contextmanager
def answers(
    directory: Path | None = None,
    broker: Broker | None = None,
    health: Callable[[], LearnerStatus] = a_status,
    tasks: tuple[str, ...] = (),
    **learner: Any,
) -> Iterator[str]:
    """The address of what it answers; `asked_total` is its only metric.

    Args:
        tasks: that it knows.
    """
    state = State(settings(), "stream")
    for name in tasks:
        state.ledger.tasks.open(name, None, shared_head=False)
    chosen = settings(directory or Path("none"), learner={"metrics_port": 0, **learner})
    registry = CollectorRegistry()
    Counter("asked", "Of nothing.", registry=registry).inc()
    told = Told(
        registry,
        health,
        BoundaryRequests(chosen, broker or memory_broker([])),
        lambda name: known_task(state, name),
    )
    crashed = Event()
    with answering(chosen, told, crashed.set) as address:
        yield address.removesuffix("/metrics")
    assert not crashed.is_set()
