"""Stops: orderly within seconds, at once if asked twice; whatever it was doing, nothing is lost."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.local_broker import LocalBroker
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.messages.kinds import Boundary, End, Message
from tests.services.learner_process import (
    bare,
    changed,
    finished,
    letter_ids,
    on_kafka,
    wait_until,
)
from tests.streams import STREAM, enveloped, memory_broker, samples, settings

AT_MOST_SECONDS = 10
MESSAGES: list[Message] = [
    samples(3000, task="a", bad=range(0, 3000, 500)),
    Boundary("1"),
    samples(40_000, 3000, task="b", bad=[17]),
]


def wait_at_most(child: Child) -> int:
    """How it ended; the promise is a limit in seconds, so this one is a test of time."""
    try:
        return child._process.wait(AT_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still there {AT_MOST_SECONDS} s after SIGTERM: {list(child.last_lines)}")


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    (tmp_path / "model").mkdir()
    with EmbeddedBroker(tmp_path / "model/broker.sqlite") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, enveloped(MESSAGES))
        yield broker


def test_asked_twice_it_ends_at_once_and_nothing_is_lost(
    embedded: EmbeddedBroker, tmp_path: Path, started: list[Child]
) -> None:
    chosen = settings(
        tmp_path / "model", stream={"broker": f"embedded:{tmp_path}/model/broker.sqlite"}
    )
    for step in (30, 1000):
        started.append(child := Child("learner", settings=chosen))
        wait_until(child, "si_stream_step", reaches=step)
        child.ask_to_stop()
        child.ask_to_stop()
        assert wait_at_most(child) in (0, -signal.SIGTERM)
    embedded.append(STREAM, 0, enveloped([End("end")]))
    started.append(child := Child("learner", settings=changed(chosen, "learner", exit_at_end=True)))
    assert finished(child, chosen) == bare(embedded, chosen)
    letters = letter_ids(embedded, STREAM)
    assert len(letters) == len(set(letters)) == 7


def test_while_the_broker_hangs_it_ends_too_and_its_letters_are_written_once(
    local_kafka: LocalBroker,
    kafka: KafkaBroker,
    topic: str,
    tmp_path: Path,
    started: list[Child],
) -> None:
    url = f"kafka://{local_kafka.server}"
    chosen = on_kafka(tmp_path, topic, url, exit_at_end=False)
    kafka.create_stream(topic)
    first = [samples(200, task="a", bad=[3, 50])]
    kafka.append(topic, 0, enveloped(first))
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, 'si_stream_rejected_total{reason="label_out_of_range"}', reaches=2)
    local_kafka.pause()
    try:
        child.ask_to_stop()
        assert wait_at_most(child) != 0  # the last checkpoint waits for its letters
    finally:
        local_kafka.resume()
    kafka.append(topic, 0, enveloped([End("end")]))
    started.append(child := Child("learner", settings=changed(chosen, "learner", exit_at_end=True)))
    oracle = memory_broker([*first, End("end")])
    held, expected = finished(child, chosen), bare(oracle, chosen)
    assert held == expected
    letters = letter_ids(kafka, topic)
    assert len(letters) == len(set(letters)) == 2
