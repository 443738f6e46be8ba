"""What every broker promises. A new one is covered by its line in BROKERS."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from si_stream.brokers import open_broker
from si_stream.brokers.interface import POLL_BYTES, Broker, Envelope, Reader, Record, Watermarks
from si_stream.errors import BrokerError, PositionOutOfRange, StreamNotFound


class Kind(NamedTuple):
    name: str
    url: Callable[[Path], str]
    shared: bool  # one process sees what another has written, and it outlives both


BROKERS = [
    Kind("memory", lambda _: "memory:", shared=False),
    Kind("embedded", lambda directory: f"embedded:{directory}/log.sqlite", shared=True),
]

every_broker = pytest.mark.parametrize("kind", BROKERS, ids=lambda kind: kind.name)
shared_brokers = pytest.mark.parametrize(
    "kind", [kind for kind in BROKERS if kind.shared], ids=lambda kind: kind.name
)


@pytest.fixture
def broker(kind: Kind, tmp_path: Path) -> Iterator[Broker]:
    with open_broker(kind.url(tmp_path)) as opened:
        yield opened


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
    with broker.reader(stream, offsets or {}) as reader:
        return list(iter_records(reader))


def iter_records(reader: Reader) -> Iterator[Record]:
    while records := reader.poll(timeout_seconds=0):
        yield from records


@every_broker
def test_records_are_read_in_the_order_in_which_they_were_appended(broker: Broker) -> None:
    broker.create_stream("s")
    before = time.time()
    offsets = broker.append("s", 0, envelopes(1, 2)) + broker.append("s", 0, envelopes(3))
    records = read_all(broker, "s")
    assert [number_of(record) for record in records] == [1, 2, 3]
    assert [record.offset for record in records] == offsets
    assert offsets == sorted(set(offsets))
    assert {record.partition for record in records} == {0}
    assert all(before - 1 <= record.timestamp_seconds <= time.time() + 1 for record in records)


@every_broker
def test_values_come_back_as_they_were_whatever_their_bytes(broker: Broker) -> None:
    broker.create_stream("s")
    values = [b"", b"\x00", bytes(range(256)), "ω".encode()]
    broker.append("s", 0, [Envelope({"ä": "ω", "": ""}, value) for value in values])
    records = read_all(broker, "s")
    assert [bytes(record.value) for record in records] == values
    assert all(record.headers == {"ä": "ω", "": ""} for record in records)


@every_broker
def test_appending_nothing_appends_nothing(broker: Broker) -> None:
    broker.create_stream("s")
    assert broker.append("s", 0, []) == []
    assert broker.watermarks("s", 0) == Watermarks(0, 0)
    assert read_all(broker, "s") == []


@every_broker
def test_partitions_have_offsets_and_watermarks_of_their_own(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    broker.append("s", 1, envelopes(1, 2))
    broker.append("s", 0, envelopes(3))
    broker.append("s", 1, envelopes(4))
    assert broker.partitions("s") == 2
    records = read_all(broker, "s")
    assert [number_of(record) for record in records if record.partition == 0] == [3]
    assert [number_of(record) for record in records if record.partition == 1] == [1, 2, 4]
    assert [record.offset for record in records if record.partition == 0] == [0]
    assert broker.watermarks("s", 0).high == 1
    last = [record for record in records if record.partition == 1][-1]
    assert broker.watermarks("s", 1).high == last.offset + 1


@every_broker
def test_streams_do_not_see_each_other(broker: Broker) -> None:
    broker.create_stream("a")
    broker.create_stream("b")
    broker.append("a", 0, envelopes(1))
    broker.append("b", 0, envelopes(2))
    assert [number_of(record) for record in read_all(broker, "a")] == [1]
    assert [number_of(record) for record in read_all(broker, "b")] == [2]


@every_broker
def test_a_reader_resumes_in_the_middle(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    offsets = broker.append("s", 0, envelopes(1, 2, 3, 4))
    broker.append("s", 1, envelopes(5, 6))
    records = read_all(broker, "s", {0: offsets[1] + 1})
    assert [number_of(record) for record in records] == [3, 4, 5, 6]


@every_broker
def test_a_reader_goes_on_with_what_is_appended_later(broker: Broker) -> None:
    broker.create_stream("s")
    with broker.reader("s", {}) as reader:
        assert reader.poll(timeout_seconds=0.01) == []
        broker.append("s", 0, envelopes(1))
        assert [number_of(record) for record in read(reader, 1)] == [1]
        broker.append("s", 0, envelopes(2, 3))
        assert [number_of(record) for record in read(reader, 2)] == [2, 3]
        assert reader.poll(timeout_seconds=0) == []


@every_broker
def test_a_waiting_reader_is_woken_by_another_thread(broker: Broker) -> None:
    broker.create_stream("s")
    with broker.reader("s", {}) as reader:
        writer = threading.Timer(0.05, broker.append, ("s", 0, envelopes(1)))
        writer.start()
        assert [number_of(record) for record in read(reader, 1)] == [1]
        writer.join()


@every_broker
def test_two_readers_read_the_same_records(broker: Broker) -> None:
    broker.create_stream("s")
    broker.append("s", 0, envelopes(1, 2))
    with broker.reader("s", {}) as one, broker.reader("s", {}) as other:
        assert read(one, 2) == read(other, 2)


@every_broker
def test_a_poll_returns_a_bounded_number_of_bytes_and_loses_none(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    for partition in (0, 1):
        broker.append("s", partition, [envelope(n, POLL_BYTES // 5) for n in range(12)])
    counts = {0: 0, 1: 0}
    with broker.reader("s", {}) as reader:
        while records := reader.poll(timeout_seconds=0):
            assert sum(len(record.value) for record in records) <= 2 * POLL_BYTES
            for record in records:
                assert number_of(record) == counts[record.partition]
                counts[record.partition] += 1
    assert counts == {0: 12, 1: 12}


@every_broker
def test_a_full_partition_does_not_hold_up_the_others(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    broker.append("s", 0, [envelope(n, POLL_BYTES) for n in range(3)])
    broker.append("s", 1, envelopes(1))
    with broker.reader("s", {}) as reader:
        records = reader.poll(timeout_seconds=60)
    assert {record.partition for record in records} == {0, 1}


@every_broker
def test_a_record_larger_than_a_poll_is_read(broker: Broker) -> None:
    broker.create_stream("s")
    broker.append("s", 0, [envelope(7, 3 * POLL_BYTES)])
    (record,) = read_all(broker, "s")
    assert number_of(record) == 7
    assert len(record.value) == 3 * POLL_BYTES


@every_broker
def test_creating_a_stream_again_changes_nothing(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    stream_id = broker.stream_id("s")
    broker.append("s", 0, envelopes(1))
    broker.create_stream("s", partitions=2)
    assert broker.stream_id("s") == stream_id
    assert [number_of(record) for record in read_all(broker, "s")] == [1]


@every_broker
def test_a_stream_cannot_be_created_with_another_number_of_partitions(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    with pytest.raises(BrokerError, match=r"'s' exists with 2 partitions, not 3"):
        broker.create_stream("s", partitions=3)
    with pytest.raises(BrokerError, match="at least 1 partition, not 0"):
        broker.create_stream("t", partitions=0)


@every_broker
def test_every_stream_has_another_id(broker: Broker) -> None:
    broker.create_stream("a")
    broker.create_stream("b")
    assert broker.stream_id("a") != broker.stream_id("b")


@every_broker
def test_an_unknown_stream_is_named_in_the_error(broker: Broker) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: broker.stream_id("nope"),
        lambda: broker.partitions("nope"),
        lambda: broker.append("nope", 0, envelopes(1)),
        lambda: broker.prune("nope", 0, 1),
        lambda: broker.watermarks("nope", 0),
        lambda: broker.reader("nope", {}),
    ]
    for attempt in attempts:
        with pytest.raises(StreamNotFound, match="no stream 'nope'"):
            attempt()


@every_broker
def test_an_unknown_partition_is_named_in_the_error(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    attempts: list[Callable[[], object]] = [
        lambda: broker.append("s", 2, envelopes(1)),
        lambda: broker.prune("s", 2, 1),
        lambda: broker.watermarks("s", 2),
        lambda: broker.reader("s", {2: 0}),
    ]
    for attempt in attempts:
        with pytest.raises(BrokerError, match="'s' has no partition 2; its last one is 1"):
            attempt()


@every_broker
def test_pruned_records_are_gone_and_the_others_are_not(broker: Broker) -> None:
    broker.create_stream("s", partitions=2)
    for partition in (0, 1):
        broker.append("s", partition, envelopes(1, 2, 3))
    broker.prune("s", 0, 2)
    assert broker.watermarks("s", 0) == Watermarks(2, 3)
    assert broker.watermarks("s", 1) == Watermarks(0, 3)
    assert [number_of(record) for record in read_all(broker, "s", {0: 2})] == [3, 1, 2, 3]
    broker.prune("s", 0, 1)
    assert broker.watermarks("s", 0) == Watermarks(2, 3)


@every_broker
def test_offsets_are_not_used_again_after_all_records_were_pruned(broker: Broker) -> None:
    broker.create_stream("s")
    broker.append("s", 0, envelopes(1, 2, 3))
    broker.prune("s", 0, 1_000)
    assert broker.watermarks("s", 0) == Watermarks(3, 3)
    assert broker.append("s", 0, envelopes(4)) == [3]
    assert [number_of(record) for record in read_all(broker, "s", {0: 3})] == [4]


@every_broker
def test_a_position_below_the_low_watermark_is_out_of_range(broker: Broker) -> None:
    broker.create_stream("s")
    broker.append("s", 0, envelopes(1, 2, 3))
    broker.prune("s", 0, 2)
    with (
        broker.reader("s", {0: 1}) as reader,
        pytest.raises(PositionOutOfRange, match="offset 1 is no longer kept, the lowest is 2"),
    ):
        reader.poll(timeout_seconds=0)


@every_broker
def test_a_reader_that_pruning_overtakes_is_told_and_skips_nothing(broker: Broker) -> None:
    broker.create_stream("s")
    broker.append("s", 0, envelopes(1))
    with broker.reader("s", {}) as reader:
        read(reader, 1)
        broker.append("s", 0, envelopes(2, 3))
        broker.prune("s", 0, 2)
        with pytest.raises(PositionOutOfRange, match="offset 1 is no longer kept"):
            reader.poll(timeout_seconds=0)


@every_broker
def test_a_position_above_the_high_watermark_is_out_of_range(broker: Broker) -> None:
    broker.create_stream("s")
    broker.append("s", 0, envelopes(1, 2))
    with broker.reader("s", {0: 2}) as reader:
        assert reader.poll(timeout_seconds=0) == []
    with (
        broker.reader("s", {0: 3}) as reader,
        pytest.raises(PositionOutOfRange, match="offset 3 was never written"),
    ):
        reader.poll(timeout_seconds=0)


@every_broker
def test_an_append_that_fails_half_way_leaves_nothing(broker: Broker) -> None:
    broker.create_stream("s")
    broken = [*envelopes(1, 2), None]
    with pytest.raises(AttributeError):
        broker.append("s", 0, broken)  # type: ignore[arg-type]
    assert broker.watermarks("s", 0) == Watermarks(0, 0)
    broker.append("s", 0, envelopes(3))
    assert [number_of(record) for record in read_all(broker, "s")] == [3]


@every_broker
def test_threads_that_append_at_once_keep_their_order_and_lose_nothing(broker: Broker) -> None:
    broker.create_stream("s")

    def write(first: int) -> None:
        for number in range(first, first + 20, 2):
            broker.append("s", 0, envelopes(number, number + 1))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_interleaved([number_of(record) for record in read_all(broker, "s")], [0, 100, 200], 20)


WRITER = """
import sys
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Envelope
url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open_broker(url) as broker:
    broker.create_stream("s")
    for number in range(first, first + count, 2):
        broker.append("s", 0, [
            Envelope({"ce_id": f"e-{n}"}, n.to_bytes(4, "big").ljust(50_000, b"x"))
            for n in (number, number + 1)
        ])
"""


def start_writer(url: str, first: int, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, url, str(first), str(count)])


def check_interleaved(numbers: list[int], firsts: list[int], count: int) -> None:
    """Each writer's numbers are all there, in order, and its pairs are together."""
    for first in firsts:
        own = [number for number in numbers if first <= number < first + count]
        assert own == list(range(first, first + count))
    assert all(one + 1 == other for one, other in zip(numbers[::2], numbers[1::2], strict=True))
    assert len(numbers) == len(firsts) * count


@shared_brokers
def test_a_process_reads_while_two_others_write(kind: Kind, tmp_path: Path) -> None:
    url = kind.url(tmp_path)
    with open_broker(url) as broker:
        broker.create_stream("s")
        writers = [start_writer(url, first, 200) for first in (0, 1000)]
        with broker.reader("s", {}) as reader:
            records = read(reader, 400)
        assert [writer.wait() for writer in writers] == [0, 0]
        check_interleaved([number_of(record) for record in records], [0, 1000], 200)
        assert [record.offset for record in records] == list(range(400))


@shared_brokers
def test_processes_that_open_a_new_log_at_once_share_one_stream(kind: Kind, tmp_path: Path) -> None:
    url = kind.url(tmp_path)
    writers = [start_writer(url, first, 2) for first in (0, 100, 200, 300)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    with open_broker(url) as broker:
        numbers = [number_of(record) for record in read_all(broker, "s")]
    check_interleaved(numbers, [0, 100, 200, 300], 2)


@shared_brokers
def test_what_was_appended_is_there_when_opened_again(kind: Kind, tmp_path: Path) -> None:
    with open_broker(kind.url(tmp_path)) as broker:
        broker.create_stream("s", partitions=2)
        stream_id = broker.stream_id("s")
        broker.append("s", 1, envelopes(1, 2, 3))
        broker.prune("s", 1, 1)
        records = read_all(broker, "s", {1: 1})
    with open_broker(kind.url(tmp_path)) as broker:
        assert broker.stream_id("s") == stream_id
        assert broker.partitions("s") == 2
        assert broker.watermarks("s", 1) == Watermarks(1, 3)
        assert read_all(broker, "s", {1: 1}) == records
        assert broker.append("s", 1, envelopes(4)) == [3]
