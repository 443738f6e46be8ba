"""The learner on Kafka while the broker, the connection or the learner itself goes away for a time:
no sample and no dead letter is lost or doubled, though a sender goes on appending. Its weights are
those of the bare loop, which learns the sender's messages from memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from deploy.kafka.local_broker import LocalBroker
from services.processes import Child
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.brokers.options import KafkaOptions
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from tests.services.learner_process import bare, finished, letter_ids, on_kafka, paused, wait_until
from tests.services.tcp_proxy import TcpProxy
from tests.streams import enveloped, memory_broker, samples

PATIENT = {"request_timeout_seconds": 1, "connect_timeout_seconds": 1}
LONGER_THAN_A_REQUEST_SECONDS = 2
MESSAGE_SAMPLES = 10
TASK_MESSAGES = 100
BAD_MESSAGES = 10  # one of so many has a bad row
APPENDED_MESSAGES = 4
PAUSE_SECONDS = 0.01


class Sender:
    """Appends messages until it is told to finish, a boundary now and then, and the end."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self.sent: list[Message] = []
        self.broker = broker
        self.topic = topic
        self._enough = Event()
        self._thread = Thread(target=self._send)

    @property
    def steps(self) -> int:
        """What a learner has certainly done once it has learned all that was sent so far."""
        return (len(self.sent) - 2) * (MESSAGE_SAMPLES - 1) // 8

    @contextmanager
    def sending(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._enough.set()
            self._thread.join()

    def _send(self) -> None:
        while not self._enough.wait(PAUSE_SECONDS):
            first = len(self.sent)
            numbers = range(first, first + APPENDED_MESSAGES)
            self._append([self._message(number) for number in numbers])
        self._append([End("end")])

    def _message(self, number: int) -> Message:
        if number % TASK_MESSAGES == TASK_MESSAGES - 1:
            return Boundary(str(number))
        bad = (3,) if number % BAD_MESSAGES == 0 else ()
        return samples(MESSAGE_SAMPLES, MESSAGE_SAMPLES * number % 60_000, bad=bad)

    def _append(self, messages: list[Message]) -> None:
        self.broker.append(self.topic, 0, enveloped(messages))
        self.sent += messages


@pytest.fixture
def sender(unsteady_kafka: LocalBroker, topic: str) -> Iterator[Sender]:
    options = KafkaOptions(request_timeout_seconds=1)
    with KafkaBroker(unsteady_kafka.server, options) as broker:
        broker.create_stream(topic)
        yield Sender(broker, topic)


def learned_through(
    outage: Callable[[Child], None], sender: Sender, chosen: Settings, started: list[Child]
) -> None:
    """What a learner learns, in whose midst there is an outage, is what the bare loop learns."""
    started.append(child := Child("learner", settings=chosen))
    with sender.sending():
        wait_until(child, "si_stream_step", reaches=100)
        outage(child)
        wait_until(child, "si_stream_step", reaches=sender.steps + 100)
    resumed = finished(child, chosen)
    expected = bare(memory_broker(sender.sent), chosen)
    assert resumed == expected
    letters = letter_ids(sender.broker, sender.topic)
    assert len(letters) == len(set(letters)) == int(expected["ledger/dead_letters"]) > 0


@pytest.fixture
def chosen(tmp_path: Path, topic: str, unsteady_kafka: LocalBroker) -> Settings:
    """Checkpoints and snapshots are due all the time, also while the broker is away."""
    often = {"interval_seconds": 0.2}
    url = f"kafka://{unsteady_kafka.server}"
    return on_kafka(tmp_path, topic, url, kafka=PATIENT, checkpoints=often, snapshots=often)


def test_a_broker_that_is_killed_and_started_again(
    unsteady_kafka: LocalBroker, sender: Sender, chosen: Settings, started: list[Child]
) -> None:
    def outage(_: Child) -> None:
        unsteady_kafka.kill()
        unsteady_kafka.start()

    learned_through(outage, sender, chosen, started)


def test_a_broker_that_hangs_for_longer_than_a_request_may_take(
    unsteady_kafka: LocalBroker, sender: Sender, chosen: Settings, started: list[Child]
) -> None:
    def outage(_: Child) -> None:
        unsteady_kafka.pause()
        time.sleep(LONGER_THAN_A_REQUEST_SECONDS)
        unsteady_kafka.resume()

    learned_through(outage, sender, chosen, started)


def test_a_learner_that_is_paused_for_longer_than_a_request_may_take(
    sender: Sender, chosen: Settings, started: list[Child]
) -> None:
    def outage(child: Child) -> None:
        with paused(child):
            time.sleep(LONGER_THAN_A_REQUEST_SECONDS)

    learned_through(outage, sender, chosen, started)


def test_connections_that_are_cut(
    local_kafka: LocalBroker, sender: Sender, chosen: Settings, started: list[Child]
) -> None:
    ports = local_kafka.ports
    stream = chosen.stream.model_copy(update={"broker": f"kafka://127.0.0.1:{ports.proxy}"})
    with TcpProxy(ports.proxy, ports.detour) as proxy:

        def outage(child: Child) -> None:
            for cuts in (2, 4, 6):
                while proxy.cut_connections < cuts:
                    proxy.cut()
                wait_until(child, "si_stream_step", reaches=sender.steps + 10)

        learned_through(outage, sender, chosen.model_copy(update={"stream": stream}), started)
