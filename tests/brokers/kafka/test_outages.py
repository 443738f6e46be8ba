"""A broker that goes away for a while, in each of the ways in which brokers do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from deploy.kafka.local_broker import LocalBroker
from si_stream.brokers.kafka import reader as reader_module
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError
from tests.brokers.records import envelope, envelopes, number_of, read, read_all

PATIENT = KafkaOptions(request_timeout_seconds=2, delivery_timeout_seconds=120)
IMPATIENT = KafkaOptions(
    connect_timeout_seconds=2, request_timeout_seconds=1, delivery_timeout_seconds=3
)


@pytest.fixture
def kafka(unsteady_kafka: LocalBroker) -> LocalBroker:
    return unsteady_kafka


@pytest.fixture(params=["killed", "hanging"])
def outage(request: pytest.FixtureRequest, kafka: LocalBroker) -> Callable[[], None]:
    """Takes the broker away and brings it back."""

    def kill() -> None:
        kafka.kill()
        kafka.start()

    def hang() -> None:
        kafka.pause()
        time.sleep(3)  # longer than a request may take
        kafka.resume()

    return kill if request.param == "killed" else hang


def test_an_outage_under_a_producer_and_a_reader_loses_and_doubles_nothing(
    outage: Callable[[], None], kafka: LocalBroker, stream: str
) -> None:
    enough = threading.Event()
    sent: list[int] = []

    def write(broker: KafkaBroker) -> None:
        while not enough.is_set():
            numbers = range(len(sent), len(sent) + 5)
            broker.append(stream, 0, [envelope(number, 20_000) for number in numbers])
            sent.extend(numbers)

    with KafkaBroker(kafka.server, PATIENT) as broker:
        broker.create_stream(stream)
        with broker.reader(stream, {}) as reader:
            writer = threading.Thread(target=write, args=(broker,))
            writer.start()
            records = read(reader, 200)
            outage()
            records += read(reader, 200)
            enough.set()
            writer.join()
            records += read(reader, len(sent) - len(records))
    assert [number_of(record) for record in records] == sent
    assert [record.offset for record in records] == sent


def wait_for_log(caplog: pytest.LogCaptureFixture, text: str) -> None:
    while text not in caplog.text:
        time.sleep(0.05)


def test_an_outage_is_told_once_with_its_reason_and_its_end(
    kafka: LocalBroker,
    stream: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader_module, "_QUIET_SECONDS", 0.2)
    with KafkaBroker(kafka.server, IMPATIENT) as broker, caplog.at_level(logging.INFO):
        broker.create_stream(stream)
        with broker.reader(stream, {}) as reader:
            assert reader.poll(timeout_seconds=0.5) == []
            kafka.kill()
            wait_for_log(caplog, "cannot be read")
            assert reader.poll(timeout_seconds=2) == []
            kafka.start()
            wait_for_log(caplog, "can be read again")
            broker.append(stream, 0, envelopes(1))
            assert number_of(read(reader, 1)[0]) == 1
    away, back = caplog.messages
    assert away.startswith(f"stream '{stream}' cannot be read, trying on: kafka://{kafka.server} ")
    assert "(Connection refused); is the broker running" in away
    assert back.startswith(f"stream '{stream}' can be read again, after ")


def test_questions_and_appends_fail_in_bounded_time_and_work_again_afterwards(
    kafka: LocalBroker, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    with KafkaBroker(kafka.server, IMPATIENT) as broker:
        broker.create_stream(stream)
        broker.append(stream, 0, envelopes(1))
        kafka.kill()
        with pytest.raises(BrokerError, match=r"cannot be reached \(Connection refused\)"):
            broker.watermarks(stream, 0)
        unsure = r"did not confirm 1 messages .* some may be in it: .*\(Connection refused\)"
        with pytest.raises(BrokerError, match=unsure):
            broker.append(stream, 0, envelopes(2))
        broker.commit_hint(stream, {0: 1}, "epoch-1/step-1")
        assert "lag are not told of checkpoint epoch-1/step-1" in caplog.text
        kafka.start()
        before = broker.watermarks(stream, 0)
        offsets = broker.append(stream, 0, envelopes(3))
        assert offsets == [before.high]
        assert [number_of(record) for record in read_all(broker, stream)] == [1, 3]


def test_a_hanging_broker_is_told_from_one_that_is_not_there(
    kafka: LocalBroker, stream: str
) -> None:
    with KafkaBroker(kafka.server, IMPATIENT) as broker:
        broker.create_stream(stream)
        kafka.pause()
        try:
            with pytest.raises(BrokerError, match="takes connections and does not answer"):
                broker.partitions(stream)
            with pytest.raises(BrokerError, match="takes connections and does not answer"):
                broker.append(stream, 0, envelopes(2))
        finally:
            kafka.resume()
        broker.append(stream, 0, envelopes(3))
        assert number_of(read_all(broker, stream)[-1]) == 3


def test_reader_and_broker_close_while_the_broker_is_away(kafka: LocalBroker, stream: str) -> None:
    with KafkaBroker(kafka.server, PATIENT) as broker:
        broker.create_stream(stream)
        broker.append(stream, 0, envelopes(1))
        failures: list[BrokerError] = []

        def append() -> None:
            try:
                broker.append(stream, 0, envelopes(2))
            except BrokerError as error:
                failures.append(error)

        with broker.reader(stream, {}):
            kafka.kill()
            writer = threading.Thread(target=append)
            writer.start()
    writer.join()
    assert len(failures) == 1
