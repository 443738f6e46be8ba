"""Numbered records, written and read by the tests of brokers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from si_stream.brokers.interface import Broker, Envelope, Reader, Record


def envelope(number: int, size_bytes: int = 10) -> Envelope:
    return Envelope({"ce_id": f"e-{number}"}, number.to_bytes(4, "big").ljust(size_bytes, b"x"))


def envelopes(*numbers: int) -> list[Envelope]:
    return [envelope(number) for number in numbers]


def number_of(record: Record) -> int:
    number = int.from_bytes(bytes(record.value[:4]), "big")
    assert record.headers == {"ce_id": f"e-{number}"}
    return number


def read(reader: Reader, count: int) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        arrived = reader.poll(timeout_seconds=60)
        assert arrived, f"only {len(records)} of {count} records came"
        records += arrived
    return records


def read_all(broker: Broker, stream: str, offsets: Mapping[int, int] | None = None) -> list[Record]:
    """One partition's records after the other's, each as they came."""
    with broker.reader(stream, offsets or {}) as reader:
        records = read_to_the_end(broker, stream, reader)
        return sorted(records, key=lambda record: record.partition)


def read_to_the_end(broker: Broker, stream: str, reader: Reader) -> Iterator[Record]:
    """What the partitions hold now; that it ends is bounded by the test's own time limit."""
    ends = [broker.watermarks(stream, number).high for number in range(broker.partitions(stream))]
    while any(reader.next_offset(number) < end for number, end in enumerate(ends)):
        yield from reader.poll(timeout_seconds=0.1)
