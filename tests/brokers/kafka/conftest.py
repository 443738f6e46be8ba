"""What the tests of Kafka share: a broker opened, a stream of one's own, the client library."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from si_stream.brokers.kafka.broker import KafkaBroker


@pytest.fixture
def broker(kafka_url: str) -> Iterator[KafkaBroker]:
    with KafkaBroker(kafka_url.removeprefix("kafka://")) as opened:
        yield opened


@pytest.fixture
def stream() -> str:
    return f"kafka-{uuid.uuid4().hex}"


@pytest.fixture
def admin(kafka_url: str) -> Iterator[Any]:
    from kafka import KafkaAdminClient

    with KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://")) as client:
        yield client
