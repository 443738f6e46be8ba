"""Clocks that jump, or are apart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.doctor.clock import look, of_steadiness, of_written, read_clocks
from si_stream.brokers.kafka.broker import KafkaBroker
from tests.services.doctor.models import checkpointed, named, state_of
from tests.streams import settings


def jumping(wall_step: float, steady_step: float) -> Iterator[tuple[float, float]]:
    wall, steady = time.time(), 0.0
    while True:
        yield wall, steady
        wall, steady = wall + wall_step, steady + steady_step


@pytest.mark.parametrize(
    ("steps", "state"),
    [((0.01, 0.01), "ok"), ((-0.5, 0.01), "warn"), ((60, 0.01), "warn"), ((0.01, -0.01), "warn")],
)
def test_a_clock_that_is_set_meanwhile_is_told_of(steps: tuple[float, float], state: str) -> None:
    readings = jumping(*steps)
    assert of_steadiness(lambda: next(readings)).state == state


def test_the_clocks_of_this_machine_are_read() -> None:
    finding = of_steadiness(read_clocks)
    assert finding.state == "ok"
    assert "no time server was asked" in finding.seen


def test_a_checkpoint_of_the_future_is_told_of(tmp_path: Path) -> None:
    about, now = "clock: checkpoints", time.time()
    assert of_written(tmp_path, now).state == "ok"
    checkpointed(settings(tmp_path), written_seconds=now)
    assert state_of(look(settings(tmp_path)), about)[0] == "ok"
    checkpointed(settings(tmp_path), written_seconds=now + 3600)
    kind, text = state_of(look(settings(tmp_path)), about)
    assert kind == "warn"
    assert "was written 60 min from now" in text


def test_a_record_of_the_future_is_told_of(
    kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    from kafka import KafkaAdminClient, KafkaProducer

    servers = kafka_url.removeprefix("kafka://")
    wanted: dict[str, Any] = {
        "num_partitions": 2,
        "replication_factor": 1,
        "configs": {"message.timestamp.type": "CreateTime"},
    }
    with KafkaAdminClient(bootstrap_servers=servers) as admin:
        admin.create_topics({topic: wanted})
        admin.wait_for_topics([topic])
    chosen = settings(tmp_path, stream={"broker": kafka_url, "name": topic})
    about = "clock: broker"
    assert "no record" in named(look(chosen))[about].seen

    def send(seconds: float) -> None:
        with KafkaProducer(bootstrap_servers=servers) as producer:
            at = round(1000 * (time.time() + seconds))
            producer.send(topic, b"{}", partition=1, timestamp_ms=at).get(30)

    send(-7200)
    assert kafka.newest_seconds(topic, 0) is None
    assert state_of(look(chosen), about) == ("ok", "the newest record is from 120 min ago → ")
    send(600)
    kind, text = state_of(look(chosen), about)
    assert kind == "warn"
    assert "is from 10 min from now" in text


def test_a_broker_that_is_away_is_told_of_elsewhere(tmp_path: Path) -> None:
    away = {"broker": "kafka://127.0.0.1:1"}
    chosen = settings(tmp_path, stream=away, kafka={"connect_timeout_seconds": 0.2})
    assert "clock: broker" not in named(look(chosen))
