from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from si_stream.brokers.interface import Reader, Record
from si_stream.brokers.kafka import reader as reader_module
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.brokers.kafka.reader import KafkaReader
from si_stream.errors import BrokerError, PositionOutOfRange, StreamNotFound
from tests.brokers.records import envelope, envelopes, number_of, read, read_all, read_to_the_end

MEGABYTE = 1_000_000


@contextmanager
def producer(kafka_url: str, **settings: Any) -> Iterator[Any]:
    """Another program that writes to Kafka."""
    from kafka import KafkaProducer

    with KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"), metrics_enabled=False, **settings
    ) as opened:
        yield opened


def read_until_it_fails(reader: Reader, records: list[Record]) -> None:
    while True:
        records += reader.poll(timeout_seconds=60)


def offsets_and_values(records: list[Record]) -> list[tuple[int, bytes]]:
    return [(record.offset, bytes(record.value)) for record in records]


def test_aborted_transactions_and_the_markers_of_all_are_stepped_over(
    kafka_url: str, broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1))
    with producer(kafka_url, transactional_id=stream) as sender:
        sender.init_transactions()
        for outcome in (sender.commit_transaction, sender.abort_transaction):
            sender.begin_transaction()
            for value in (b"a", b"b"):
                sender.send(stream, value=outcome.__name__.encode() + value, partition=0)
            sender.flush()
            outcome()
    assert broker.watermarks(stream, 0) == (0, 7)  # 1, a, b, its marker, a, b, its marker
    with broker.reader(stream, {0: 1}) as reader:
        records = list(read_to_the_end(broker, stream, reader))
        assert offsets_and_values(records) == [
            (1, b"commit_transactiona"),
            (2, b"commit_transactionb"),
        ]
        assert reader.next_offset(0) == 7
        assert broker.append(stream, 0, envelopes(9)) == [7]
        assert [number_of(record) for record in read(reader, 1)] == [9]
    assert read_all(broker, stream, {0: 3})[0].offset == 7


def test_a_transaction_that_is_not_finished_is_not_read(
    kafka_url: str, broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream)
    with (
        producer(kafka_url, transactional_id=stream) as sender,
        broker.reader(stream, {}) as reader,
    ):
        sender.init_transactions()
        sender.begin_transaction()
        sender.send(stream, value=b"a", partition=0).get(30)
        assert reader.poll(timeout_seconds=0.5) == []
        assert reader.next_offset(0) == 0
        sender.commit_transaction()
        assert offsets_and_values(read(reader, 1)) == [(0, b"a")]


def test_what_other_programs_write_is_read_whatever_it_is(
    kafka_url: str, broker: KafkaBroker, stream: str
) -> None:
    class Bytes(str):
        """A header's name in Latin-1, as programs in other languages may write it."""

        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            return str.encode(self, "latin-1")

    broker.create_stream(stream)
    with producer(kafka_url, linger_ms=1000) as sender:
        sender.send(stream, key=b"key", value=b"1", headers=[("é", b"\xe9"), ("e", b"")])
        names = [(Bytes("caf\xe9"), b"caf\xe9"), ("ω", "ω".encode())]
        sender.send(stream, value=b"caf\xe9", headers=names)
        sender.send(stream, key=b"no value", value=None)
    records = read_all(broker, stream)
    assert offsets_and_values(records) == [(0, b"1"), (1, b"caf\xe9"), (2, b"")]
    assert [record.headers for record in records] == [
        {"é": "\\xe9", "e": ""},
        {"caf?": "caf\\xe9", "ω": "ω"},
        {},
    ]


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
def test_it_reads_what_any_producer_may_have_compressed(
    broker: KafkaBroker, stream: str, admin: Any, kafka_url: str, compression: str
) -> None:
    create_compressed(admin, stream, compression)
    with producer(kafka_url, linger_ms=1000, compression_type=compression) as sender:
        sender.send(stream, value=b"0" * 1000)
        sender.send(stream, value=b"1" * 1000)
    assert offsets_and_values(read_all(broker, stream)) == [(0, b"0" * 1000), (1, b"1" * 1000)]


def create_compressed(admin: Any, stream: str, compression: str) -> None:
    configs = {"compression.type": compression}
    admin.create_topics({stream: {"num_partitions": 1, "configs": configs}})
    admin.wait_for_topics([stream])


def test_a_compression_whose_library_is_missing_is_named(
    broker: KafkaBroker, stream: str, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_compressed(admin, stream, "zstd")
    broker.append(stream, 0, envelopes(1))
    monkeypatch.setattr("kafka.codec.has_zstd", lambda: False)
    with (
        broker.reader(stream, {}) as reader,
        pytest.raises(BrokerError, match=f"'{stream}' cannot be read on from offset 0 .*zstd"),
    ):
        reader.poll(timeout_seconds=60)


def wait_until_full(reader: Reader) -> int:
    """Bytes that the reader has read ahead, once they do not become more."""
    assert isinstance(reader, KafkaReader)
    sizes = [-1, 0]
    while sizes[-1] == 0 or sizes[-1] != sizes[-2]:
        time.sleep(0.5)
        sizes.append(sum(part.size_bytes for part in reader._partitions))
    return sizes[-1]


def test_what_is_read_ahead_is_bounded_and_none_of_it_lost(
    broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, [envelope(number, MEGABYTE) for number in range(60)])
    with broker.reader(stream, {}) as reader:
        assert wait_until_full(reader) < 30 * MEGABYTE
        assert [number_of(record) for record in read(reader, 60)] == list(range(60))


def test_polling_goes_on_while_nobody_takes_what_was_read(
    broker: KafkaBroker, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.create_stream(stream)
    with broker.reader(stream, {}) as reader:
        assert isinstance(reader, KafkaReader)
        for number in range(3):
            broker.append(stream, 0, [envelope(number)])
            wait_for(lambda: len(reader._partitions[0].waiting) == number + 1)  # noqa: B023
        broker.append(stream, 0, [envelope(number, MEGABYTE) for number in range(3, 63)])
        wait_for(lambda: reader._partitions[0].paused)
        polls = iter(range(1000))
        poll = reader._poll
        monkeypatch.setattr(reader, "_poll", lambda seconds: (next(polls), poll(seconds))[1])
        wait_for(lambda: next(polls) > 10)
        assert reader._partitions[0].paused
        assert [number_of(record) for record in read(reader, 63)] == list(range(63))
        assert not reader._partitions[0].paused


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_full_reader_that_pruning_overtakes_gives_what_it_has_and_is_told(
    broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, [envelope(number, MEGABYTE) for number in range(60)])
    with broker.reader(stream, {}) as reader:
        wait_until_full(reader)
        broker.prune(stream, 0, 59)
        records: list[Record] = []
        with pytest.raises(PositionOutOfRange, match=r"is no longer kept, the lowest is 59"):
            read_until_it_fails(reader, records)
        assert [number_of(record) for record in records] == list(range(len(records)))
        assert reader.next_offset(0) == len(records) < 59


def test_small_records_count_as_well(broker: KafkaBroker, stream: str) -> None:
    broker.create_stream(stream)
    for first in range(0, 40_000, 10_000):
        broker.append(stream, 0, [envelope(first + number) for number in range(10_000)])
    with broker.reader(stream, {}) as reader:
        assert wait_until_full(reader) < 30 * MEGABYTE
        assert [number_of(record) for record in read(reader, 40_000)] == list(range(40_000))


def test_a_stream_made_anew_under_its_reader_is_not_read(
    broker: KafkaBroker, stream: str, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_QUIET_SECONDS", 0.2)
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1, 2))
    with broker.reader(stream, {}) as reader:
        read(reader, 2)
        admin.delete_topics([stream])
        while True:
            try:
                broker.create_stream(stream)
                broker.append(stream, 0, envelopes(3))
                break
            except BrokerError:
                time.sleep(0.1)
        # Between the two it was not there at all, which the reader may have seen.
        with pytest.raises(BrokerError, match=rf"'{stream}' was deleted and made anew|no stream"):
            read_until_it_fails(reader, [])


def test_a_stream_that_is_deleted_under_its_reader_is_missed(
    broker: KafkaBroker, stream: str, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_QUIET_SECONDS", 0.2)
    broker.create_stream(stream)
    with broker.reader(stream, {}) as reader:
        assert reader.poll(timeout_seconds=0.5) == []
        admin.delete_topics([stream])
        with pytest.raises(StreamNotFound, match=f"there is no stream '{stream}'"):
            read_until_it_fails(reader, [])


def test_a_closed_reader_raises_a_broker_error(broker: KafkaBroker, stream: str) -> None:
    broker.create_stream(stream)
    reader = broker.reader(stream, {})
    reader.close()
    reader.close()
    with pytest.raises(BrokerError, match="closed"):
        reader.poll(timeout_seconds=0)
