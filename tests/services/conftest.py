"""What the tests of processes share: children that end with the test, and streams on Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from services.processes import Child
from si_stream.brokers.kafka.broker import KafkaBroker


@pytest.fixture
def started() -> Iterator[list[Child]]:
    """Children that end with the test, however that ends."""
    children: list[Child] = []
    yield children
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def kafka(kafka_url: str) -> Iterator[KafkaBroker]:
    with KafkaBroker(kafka_url.removeprefix("kafka://")) as opened:
        yield opened


@pytest.fixture
def topic() -> str:
    return f"learner-{uuid.uuid4().hex}"
