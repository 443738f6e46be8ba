"""What every broker promises. A new one is covered by its line in BROKERS."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from si_stream.brokers import open_broker
from si_stream.brokers.interface import POLL_BYTES, Broker, Envelope, Record, Watermarks
from si_stream.errors import BrokerError, PositionOutOfRange, StreamNotFound
from tests.brokers.records import envelope, envelopes, number_of, read, read_all


class Kind(NamedTuple):
    name: str
    url: Callable[[pytest.FixtureRequest], str]
    shared: bool  # one process sees what another has written, and it outlives both
    reads_ahead: bool = False  # a reader may hold records that have been pruned since


def embedded_url(request: pytest.FixtureRequest) -> str:
    return f"embedded:{request.getfixturevalue('tmp_path')}/log.sqlite"


BROKERS = [
    Kind("memory", lambda _: "memory:", shared=False),
    Kind("embedded", embedded_url, shared=True),
    Kind("kafka", lambda it: str(it.getfixturevalue("kafka_url")), shared=True, reads_ahead=True),
]

every_broker = pytest.mark.parametrize("kind", BROKERS, ids=lambda kind: kind.name)
shared_brokers = pytest.mark.parametrize(
    "kind", [kind for kind in BROKERS if kind.shared], ids=lambda kind: kind.name
)


@pytest.fixture
def url(kind: Kind, request: pytest.FixtureRequest) -> str:
    return kind.url(request)


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    with open_broker(url) as opened:
        yield opened


@pytest.fixture
def stream() -> str:
    """A name that no other test has: brokers may outlive tests."""
    return f"contract-{uuid.uuid4().hex}"


@every_broker
def test_records_are_read_in_the_order_in_which_they_were_appended(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream)
    before = time.time()
    offsets = broker.append(stream, 0, envelopes(1, 2)) + broker.append(stream, 0, envelopes(3))
    records = read_all(broker, stream)
    assert [number_of(record) for record in records] == [1, 2, 3]
    assert [record.offset for record in records] == offsets
    assert offsets == sorted(set(offsets))
    assert {record.partition for record in records} == {0}
    assert all(before - 1 <= record.timestamp_seconds <= time.time() + 1 for record in records)


@every_broker
def test_values_come_back_as_they_were_whatever_their_bytes(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    values = [b"", b"\x00", bytes(range(256)), "ω".encode()]
    broker.append(stream, 0, [Envelope({"ä": "ω", "": ""}, value) for value in values])
    records = read_all(broker, stream)
    assert [bytes(record.value) for record in records] == values
    assert all(record.headers == {"ä": "ω", "": ""} for record in records)


@every_broker
def test_appending_nothing_appends_nothing(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    assert broker.append(stream, 0, []) == []
    assert broker.watermarks(stream, 0) == Watermarks(0, 0)
    assert read_all(broker, stream) == []


@every_broker
def test_partitions_have_offsets_and_watermarks_of_their_own(broker: Broker, stream: str) -> None:
    broker.create_stream(stream, partitions=2)
    broker.append(stream, 1, envelopes(1, 2))
    broker.append(stream, 0, envelopes(3))
    broker.append(stream, 1, envelopes(4))
    assert broker.partitions(stream) == 2
    records = read_all(broker, stream)
    assert [number_of(record) for record in records if record.partition == 0] == [3]
    assert [number_of(record) for record in records if record.partition == 1] == [1, 2, 4]
    assert [record.offset for record in records if record.partition == 0] == [0]
    assert broker.watermarks(stream, 0).high == 1
    last = [record for record in records if record.partition == 1][-1]
    assert broker.watermarks(stream, 1).high == last.offset + 1


@every_broker
def test_streams_do_not_see_each_other(broker: Broker, stream: str) -> None:
    one, other = f"{stream}-a", f"{stream}-b"
    broker.create_stream(one)
    broker.create_stream(other)
    broker.append(one, 0, envelopes(1))
    broker.append(other, 0, envelopes(2))
    assert [number_of(record) for record in read_all(broker, one)] == [1]
    assert [number_of(record) for record in read_all(broker, other)] == [2]


@every_broker
def test_a_reader_resumes_in_the_middle(broker: Broker, stream: str) -> None:
    broker.create_stream(stream, partitions=2)
    offsets = broker.append(stream, 0, envelopes(1, 2, 3, 4))
    broker.append(stream, 1, envelopes(5, 6))
    records = read_all(broker, stream, {0: offsets[1] + 1})
    assert [number_of(record) for record in records] == [3, 4, 5, 6]


@every_broker
def test_a_reader_goes_on_with_what_is_appended_later(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    with broker.reader(stream, {}) as reader:
        assert reader.poll(timeout_seconds=0.01) == []
        broker.append(stream, 0, envelopes(1))
        assert [number_of(record) for record in read(reader, 1)] == [1]
        broker.append(stream, 0, envelopes(2, 3))
        assert [number_of(record) for record in read(reader, 2)] == [2, 3]
        assert reader.poll(timeout_seconds=0) == []


@every_broker
def test_a_waiting_reader_is_woken_by_another_thread(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    with broker.reader(stream, {}) as reader:
        writer = threading.Timer(0.05, broker.append, (stream, 0, envelopes(1)))
        writer.start()
        assert [number_of(record) for record in read(reader, 1)] == [1]
        writer.join()


@every_broker
def test_a_reader_knows_without_asking_where_its_unread_records_begin(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=2)
    broker.append(stream, 0, envelopes(1, 2, 3))
    broker.append(stream, 1, envelopes(4))
    with broker.reader(stream, {0: 1}) as reader:
        assert reader.next_offset(0) == 1
        read(reader, 3)
        ends = [broker.watermarks(stream, number).high for number in (0, 1)]
        assert [reader.next_offset(number) for number in (0, 1)] == ends
        broker.append(stream, 1, envelopes(5))
        assert reader.next_offset(1) == ends[1]
        read(reader, 1)
        assert reader.next_offset(1) == ends[1] + 1


@every_broker
def test_a_reader_knows_how_far_it_has_taken_records_from_the_broker(
    kind: Kind, broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=2)
    broker.append(stream, 1, envelopes(1, 2, 3))
    with broker.reader(stream, {1: 1}) as reader:
        assert reader.fetched_offset(0) == 0
        if kind.reads_ahead:
            deadline = time.monotonic() + 60
            while reader.fetched_offset(1) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert (reader.fetched_offset(1), reader.next_offset(1)) == (3, 1)
        else:
            assert reader.fetched_offset(1) == 1
        read(reader, 2)
        assert (reader.fetched_offset(0), reader.fetched_offset(1)) == (0, 3)


@every_broker
def test_a_hint_for_lag_tools_changes_nothing_that_is_read(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1, 2))
    broker.commit_hint(stream, {0: 1}, "epoch-1/step-7")
    assert [number_of(record) for record in read_all(broker, stream)] == [1, 2]


@every_broker
def test_two_readers_read_the_same_records(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1, 2))
    with broker.reader(stream, {}) as one, broker.reader(stream, {}) as other:
        assert read(one, 2) == read(other, 2)


@every_broker
def test_a_poll_returns_a_bounded_number_of_bytes_and_loses_none(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=2)
    for partition in (0, 1):
        broker.append(stream, partition, [envelope(n, POLL_BYTES // 5) for n in range(12)])
    counts = {0: 0, 1: 0}
    with broker.reader(stream, {}) as reader:
        while counts != {0: 12, 1: 12}:
            records = reader.poll(timeout_seconds=60)
            assert 0 < sum(len(record.value) for record in records) <= 2 * POLL_BYTES
            for record in records:
                assert number_of(record) == counts[record.partition]
                counts[record.partition] += 1
        assert reader.poll(timeout_seconds=0) == []


@every_broker
def test_a_full_partition_does_not_hold_up_the_others(broker: Broker, stream: str) -> None:
    broker.create_stream(stream, partitions=2)
    broker.append(stream, 0, [envelope(n, POLL_BYTES) for n in range(20)])
    broker.append(stream, 1, envelopes(1))
    with broker.reader(stream, {}) as reader:
        partitions = [record.partition for record in read(reader, 21)]
    assert 1 in partitions[:15]


@every_broker
def test_a_record_larger_than_a_poll_is_read(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, [envelope(7, 3 * POLL_BYTES)])
    (record,) = read_all(broker, stream)
    assert number_of(record) == 7
    assert len(record.value) == 3 * POLL_BYTES


@every_broker
def test_creating_a_stream_again_changes_nothing(broker: Broker, stream: str) -> None:
    broker.create_stream(stream, partitions=2)
    stream_id = broker.stream_id(stream)
    broker.append(stream, 0, envelopes(1))
    broker.create_stream(stream, partitions=2)
    assert broker.stream_id(stream) == stream_id
    assert [number_of(record) for record in read_all(broker, stream)] == [1]


@every_broker
def test_a_stream_cannot_be_created_with_another_number_of_partitions(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=2)
    with pytest.raises(BrokerError, match=f"'{stream}' exists with 2 partitions, not 3"):
        broker.create_stream(stream, partitions=3)
    with pytest.raises(BrokerError, match="at least 1 partition, not 0"):
        broker.create_stream(f"{stream}-t", partitions=0)


@every_broker
def test_a_stream_is_taken_as_it_is_where_no_number_of_partitions_is_asked_for(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=3)
    broker.create_stream(stream)
    assert broker.partitions(stream) == 3


@every_broker
def test_partitions_are_added_behind_those_that_are_there(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1))
    stream_id = broker.stream_id(stream)
    with broker.reader(stream, {}) as reader:
        broker.add_partitions(stream, 3)
        broker.append(stream, 2, envelopes(2))
        broker.append(stream, 0, envelopes(3))
        assert [number_of(record) for record in read(reader, 2)] == [1, 3]
        assert reader.partitions == 1
    assert (broker.partitions(stream), broker.stream_id(stream)) == (3, stream_id)
    assert broker.watermarks(stream, 1) == Watermarks(0, 0)
    assert [number_of(record) for record in read_all(broker, stream)] == [1, 3, 2]


@every_broker
def test_partitions_cannot_be_taken_away_and_as_many_again_are_none_more(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=2)
    broker.add_partitions(stream, 2)
    assert broker.partitions(stream) == 2
    with pytest.raises(BrokerError, match="has 2 partitions already, and none can be taken away"):
        broker.add_partitions(stream, 1)
    with pytest.raises(StreamNotFound):
        broker.add_partitions(f"{stream}-other", 3)


@every_broker
def test_a_poll_may_name_the_partitions_and_the_others_records_stay(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream, partitions=3)
    for partition in range(3):
        broker.append(stream, partition, envelopes(partition, 10 + partition))
    with broker.reader(stream, {}) as reader:
        assert reader.partitions == 3
        named: list[Record] = []
        while len(named) < 4:
            named += reader.poll(60, [2, 1])
        assert sorted(map(number_of, named)) == [1, 2, 11, 12]
        assert reader.poll(0.01, [1, 2]) == []
        assert reader.next_offset(0) == 0
        assert [number_of(record) for record in read(reader, 2)] == [0, 10]


@every_broker
def test_every_stream_has_another_id(broker: Broker, stream: str) -> None:
    broker.create_stream(f"{stream}-a")
    broker.create_stream(f"{stream}-b")
    assert broker.stream_id(f"{stream}-a") != broker.stream_id(f"{stream}-b")


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
def test_an_unknown_partition_is_named_in_the_error(broker: Broker, stream: str) -> None:
    broker.create_stream(stream, partitions=2)
    attempts: list[Callable[[], object]] = [
        lambda: broker.append(stream, 2, envelopes(1)),
        lambda: broker.prune(stream, 2, 1),
        lambda: broker.watermarks(stream, 2),
        lambda: broker.reader(stream, {2: 0}),
    ]
    for attempt in attempts:
        with pytest.raises(BrokerError, match=f"'{stream}' has no partition 2; its last one is 1"):
            attempt()


@every_broker
def test_pruned_records_are_gone_and_the_others_are_not(broker: Broker, stream: str) -> None:
    broker.create_stream(stream, partitions=2)
    for partition in (0, 1):
        broker.append(stream, partition, envelopes(1, 2, 3))
    broker.prune(stream, 0, 2)
    assert broker.watermarks(stream, 0) == Watermarks(2, 3)
    assert broker.watermarks(stream, 1) == Watermarks(0, 3)
    assert [number_of(record) for record in read_all(broker, stream, {0: 2})] == [3, 1, 2, 3]
    broker.prune(stream, 0, 1)
    assert broker.watermarks(stream, 0) == Watermarks(2, 3)


@pytest.mark.parametrize(
    "kind", [kind for kind in BROKERS if kind.name != "kafka"], ids=lambda kind: kind.name
)
def test_a_broker_that_keeps_all_says_where_the_newest_of_a_size_begin(
    broker: Broker, stream: str
) -> None:
    assert broker.keeps_all
    broker.create_stream(stream)
    assert broker.newest_within(stream, 0, 1000) == 0
    broker.append(stream, 0, [envelope(number, 100) for number in range(5)])
    record_bytes = 100 + len('{"ce_id": "e-0"}')
    found = [broker.newest_within(stream, 0, size * record_bytes) for size in (0, 1, 2, 5, 9)]
    assert found == [5, 4, 3, 0, 0]
    assert broker.newest_within(stream, 0, 2 * record_bytes - 1) == 4
    broker.prune(stream, 0, 2)
    assert broker.newest_within(stream, 0, 10_000) == 2


@every_broker
def test_offsets_are_not_used_again_after_all_records_were_pruned(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1, 2, 3))
    broker.prune(stream, 0, 1_000)
    assert broker.watermarks(stream, 0) == Watermarks(3, 3)
    assert broker.append(stream, 0, envelopes(4)) == [3]
    assert [number_of(record) for record in read_all(broker, stream, {0: 3})] == [4]


@every_broker
def test_a_position_below_the_low_watermark_is_out_of_range(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1, 2, 3))
    broker.prune(stream, 0, 2)
    with (
        broker.reader(stream, {0: 1}) as reader,
        pytest.raises(PositionOutOfRange, match="offset 1 is no longer kept, the lowest is 2"),
    ):
        reader.poll(timeout_seconds=60)


@every_broker
def test_a_reader_that_pruning_overtakes_is_told_and_skips_nothing(
    kind: Kind, broker: Broker, stream: str
) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1))
    with broker.reader(stream, {}) as reader:
        read(reader, 1)
        broker.append(stream, 0, envelopes(2, 3))
        broker.prune(stream, 0, 2)
        try:
            outcome = f"read {number_of(read(reader, 1)[0])}"
        except PositionOutOfRange as error:
            outcome = str(error)
    told = "offset 1 is no longer kept" in outcome
    assert told or (kind.reads_ahead and outcome == "read 2"), outcome


@every_broker
def test_a_position_above_the_high_watermark_is_out_of_range(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1, 2))
    with broker.reader(stream, {0: 2}) as reader:
        assert reader.poll(timeout_seconds=0) == []
    with (
        broker.reader(stream, {0: 3}) as reader,
        pytest.raises(PositionOutOfRange, match="offset 3 was never written"),
    ):
        reader.poll(timeout_seconds=60)


@every_broker
def test_an_append_that_fails_half_way_leaves_nothing(broker: Broker, stream: str) -> None:
    broker.create_stream(stream)
    broken = [*envelopes(1, 2), None]
    with pytest.raises(AttributeError):
        broker.append(stream, 0, broken)  # type: ignore[arg-type]
    assert broker.watermarks(stream, 0) == Watermarks(0, 0)
    broker.append(stream, 0, envelopes(3))
    assert [number_of(record) for record in read_all(broker, stream)] == [3]


@every_broker
def test_threads_that_append_at_once_keep_their_order_and_lose_nothing(
    broker: Broker, stream: str
) -> None:
    broker.create_stream(stream)

    def write(first: int) -> None:
        for number in range(first, first + 20, 2):
            broker.append(stream, 0, envelopes(number, number + 1))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_interleaved([number_of(record) for record in read_all(broker, stream)], [0, 100, 200], 20)


WRITER = """
import sys
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Envelope
url, stream, first, count = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4])
with open_broker(url) as broker:
    broker.create_stream(stream)
    for number in range(first, first + count, 2):
        broker.append(stream, 0, [
            Envelope({"ce_id": f"e-{n}"}, n.to_bytes(4, "big").ljust(50_000, b"x"))
            for n in (number, number + 1)
        ])
"""


def start_writer(url: str, stream: str, first: int, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, url, stream, str(first), str(count)])


def check_interleaved(numbers: list[int], firsts: list[int], count: int) -> None:
    """Each writer's numbers are all there, in order, and its pairs are together."""
    for first in firsts:
        own = [number for number in numbers if first <= number < first + count]
        assert own == list(range(first, first + count))
    assert all(one + 1 == other for one, other in zip(numbers[::2], numbers[1::2], strict=True))
    assert len(numbers) == len(firsts) * count


@shared_brokers
def test_a_process_reads_while_two_others_write(url: str, stream: str) -> None:
    with open_broker(url) as broker:
        broker.create_stream(stream)
        writers = [start_writer(url, stream, first, 200) for first in (0, 1000)]
        with broker.reader(stream, {}) as reader:
            records = read(reader, 400)
        assert [writer.wait() for writer in writers] == [0, 0]
        check_interleaved([number_of(record) for record in records], [0, 1000], 200)
        assert [record.offset for record in records] == list(range(400))


@shared_brokers
def test_processes_that_open_a_new_log_at_once_share_one_stream(url: str, stream: str) -> None:
    writers = [start_writer(url, stream, first, 2) for first in (0, 100, 200, 300)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    with open_broker(url) as broker:
        numbers = [number_of(record) for record in read_all(broker, stream)]
    check_interleaved(numbers, [0, 100, 200, 300], 2)


@shared_brokers
def test_what_was_appended_is_there_when_opened_again(url: str, stream: str) -> None:
    with open_broker(url) as broker:
        broker.create_stream(stream, partitions=2)
        stream_id = broker.stream_id(stream)
        broker.append(stream, 1, envelopes(1, 2, 3))
        broker.prune(stream, 1, 1)
        records = read_all(broker, stream, {1: 1})
    with open_broker(url) as broker:
        assert broker.stream_id(stream) == stream_id
        assert broker.partitions(stream) == 2
        assert broker.watermarks(stream, 1) == Watermarks(1, 3)
        assert read_all(broker, stream, {1: 1}) == records
        assert broker.append(stream, 1, envelopes(4)) == [3]
