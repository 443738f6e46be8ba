"""Stops: orderly within seconds, at once if asked twice; whatever it was doing, nothing is lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.local_broker import LocalBroker
from services.exit_codes import exit_code
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.errors import CheckpointError
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


def catches_sigterm(child: Child) -> bool:
    """Whether it does something of its own at a SIGTERM, or what the kernel does by default."""
    status = Path(f"/proc/{child._process.pid}/status").read_text()
    caught = int(status.partition("\nSigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def ask_once_more(child: Child) -> None:
    """A second SIGTERM, once the first has been heard."""
    while child.code is None and catches_sigterm(child):
        time.sleep(0.01)
    child.ask_to_stop()


@pytest.mark.parametrize(
    ("outage", "twice"), [("hangs", False), ("hangs", True), ("is gone", False)]
)
def test_while_the_broker_is_away_it_ends_too_and_its_letters_are_written_once(
    outage: str,
    twice: bool,
    unsteady_kafka: LocalBroker,
    topic: str,
    tmp_path: Path,
    started: list[Child],
) -> None:
    url = f"kafka://{unsteady_kafka.server}"
    chosen = on_kafka(tmp_path, topic, url, exit_at_end=False)
    first = [samples(200, task="a", bad=[3, 50])]
    with KafkaBroker(unsteady_kafka.server) as kafka:
        kafka.create_stream(topic)
        kafka.append(topic, 0, enveloped(first))
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, 'si_stream_rejected_total{reason="label_out_of_range"}', reaches=2)
    (unsteady_kafka.pause if outage == "hangs" else unsteady_kafka.kill)()
    try:
        child.ask_to_stop()
        if twice:
            ask_once_more(child)
        code = wait_at_most(child)
    finally:
        (unsteady_kafka.resume if outage == "hangs" else unsteady_kafka.start)()
    # The last checkpoint waits for its letters; whoever asks twice does not wait for that.
    assert code in (
        (-signal.SIGTERM,) if twice else (exit_code(CheckpointError()), -signal.SIGALRM)
    )
    with KafkaBroker(unsteady_kafka.server) as kafka:
        kafka.append(topic, 0, enveloped([End("end")]))
        exits = changed(chosen, "learner", exit_at_end=True)
        started.append(child := Child("learner", settings=exits))
        oracle = memory_broker([*first, End("end")])
        held, expected = finished(child, chosen), bare(oracle, chosen)
        assert held == expected
        letters = letter_ids(kafka, topic)
    assert len(letters) == len(set(letters)) == 2


def test_while_it_waits_for_a_broker_at_its_start_it_ends_too(
    topic: str, tmp_path: Path, started: list[Child]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"kafka://127.0.0.1:{taken.getsockname()[1]}"
        patient = {"connect_timeout_seconds": 300}
        chosen = on_kafka(tmp_path, topic, url, exit_at_end=False, kafka=patient)
        started.append(child := Child("learner", settings=chosen))
        while not catches_sigterm(child):
            assert child.code is None, list(child.last_lines)
            time.sleep(0.01)
        child.ask_to_stop()
        assert wait_at_most(child) == -signal.SIGALRM
