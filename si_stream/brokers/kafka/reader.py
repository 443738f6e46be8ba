"""Reads a Kafka topic ahead of its reader, in a thread of its own.

Invariant: each partition's records come in order, each once, from the given offset on, whatever
becomes of brokers and connections in between: where to read on is known here alone, and nothing
is resumed from the broker's memory. Transactions that were aborted are not read.

What has been read ahead is bounded. A partition that is full is paused, not the polling: Kafka's
connections stay alive while the reader of the records is busy with other things.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError, RetriableError
from kafka.structs import TopicPartition

from si_stream.brokers.checks import check_offset
from si_stream.brokers.interface import POLL_BYTES, Broker, Reader, Record
from si_stream.brokers.kafka.client import Connect, stream_id_of
from si_stream.brokers.kafka.header_names import tolerate_any_header_name
from si_stream.brokers.kafka.reach import NotThere
from si_stream.errors import BrokerError, PositionOutOfRange

tolerate_any_header_name()
logger = logging.getLogger(__name__)

# Read ahead at most, all partitions together: a tenth of a second of a fast stream.
_AHEAD_BYTES = 16 * 2**20
# What one answer of the broker may hold: enough for speed, and bounded beside the above.
_FETCH_BYTES = 4 * 2**20
# What a record takes in memory beside its value, so that many small ones count as well.
_RECORD_BYTES = 1024
_POLL_SECONDS = 0.1
# When nothing has come for so long, the broker is asked whether it is there.
_QUIET_SECONDS = 5.0
_FIRST_REMINDER_SECONDS = 60.0
_LAST_REMINDER_SECONDS = 3600.0
# A thread that asks a silent broker is not waited for longer; it ends by itself.
_CLOSE_SECONDS = 3.0


@dataclass
class _Partition:
    """Records that wait, and the offset behind them, which also counts what is never read."""

    behind: int
    waiting: deque[Record] = field(default_factory=deque)
    size_bytes: int = 0
    paused: bool = False

    @property
    def next_offset(self) -> int:
        return self.waiting[0].offset if self.waiting else self.behind

    def put(self, record: Record) -> None:
        self.waiting.append(record)
        self.size_bytes += len(record.value) + _RECORD_BYTES

    def take(self, size_bytes: float) -> list[Record]:
        taken: list[Record] = []
        taken_bytes = 0
        while self.waiting and taken_bytes < size_bytes:
            record = self.waiting.popleft()
            taken.append(record)
            taken_bytes += len(record.value)
            self.size_bytes -= len(record.value) + _RECORD_BYTES
        return taken


class KafkaReader(Reader):
    """Args:
    broker: asked for the stream's bounds when an offset is out of them.
    identify: gives the id that the stream has now, or raises `NotThere` during an outage.
    connect: makes a client of kafka-python, and returns it with its cluster's metadata.
    stream_id: another one later means that the stream was made anew.
    next_offsets: of each partition, where to begin.
    """

    def __init__(
        self,
        broker: Broker,
        identify: Callable[[str], str],
        connect: Connect,
        stream: str,
        stream_id: str,
        next_offsets: Sequence[int],
    ) -> None:
        self._broker = broker
        self._identify = identify
        self._stream = stream
        self._stream_id = stream_id
        self._places = [TopicPartition(stream, number) for number in range(len(next_offsets))]
        self._partitions = [_Partition(offset) for offset in next_offsets]
        self._changed = threading.Condition()
        self._closed = False
        self._failure: Exception | None = None
        self._outage = _Outage(stream)
        self._consumer, self._cluster = connect(
            KafkaConsumer,
            {
                "group_id": None,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "isolation_level": "read_committed",
                "allow_auto_create_topics": False,
                "fetch_max_bytes": 2 * _FETCH_BYTES,
                "max_partition_fetch_bytes": _FETCH_BYTES,
                "max_poll_records": 10_000,
                "metrics_enabled": False,
            },
        )
        self._consumer.assign(self._places)
        for place, offset in zip(self._places, next_offsets, strict=True):
            self._consumer.seek(place, offset)
        self._thread = threading.Thread(target=self._read_ahead, name="kafka-reader", daemon=True)
        self._thread.start()

    @property
    def partitions(self) -> int:
        return len(self._partitions)

    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        wanted = range(len(self._partitions)) if partitions is None else partitions
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not (records := self._take(wanted)):
                if self._failure is not None:
                    raise self._failure
                if self._closed:
                    raise BrokerError(f"the reader of stream {self._stream!r} is closed")
                remaining_seconds = deadline - time.monotonic()
                if remaining_seconds <= 0:
                    break
                self._changed.wait(remaining_seconds)
        return records

    def next_offset(self, partition: int) -> int:
        with self._changed:
            return self._partitions[partition].next_offset

    def fetched_offset(self, partition: int) -> int:
        with self._changed:
            return self._partitions[partition].behind

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)
        self._consumer.close(autocommit=False)

    def _take(self, partitions: Collection[int]) -> list[Record]:
        share_bytes = POLL_BYTES / len(self._partitions)
        records = [
            record for number in partitions for record in self._partitions[number].take(share_bytes)
        ]
        if records and any(part.paused for part in self._partitions):
            self._changed.notify_all()
        return records

    def _read_ahead(self) -> None:
        """What the thread does until the reader is closed or cannot go on."""
        heard_at = time.monotonic()
        try:
            while not self._closed:
                wait_seconds = self._pause_the_full()
                arrived = self._poll(wait_seconds)
                self._put(arrived)
                if arrived or wait_seconds == 0:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > _QUIET_SECONDS:
                    self._ask_after_the_stream()
                    heard_at = time.monotonic()
        except Exception as error:  # noqa: BLE001 - `poll` raises it
            failure = self._explained(error)
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def _pause_the_full(self) -> float:
        """Pause and resume partitions; where all are paused, wait for room. Returns how long the
        broker's answer may be waited for."""
        limit_bytes = _AHEAD_BYTES / len(self._partitions)
        with self._changed:
            for place, part in zip(self._places, self._partitions, strict=True):
                if part.paused and part.size_bytes < limit_bytes / 2:
                    self._consumer.resume(place)
                    part.paused = False
                elif not part.paused and part.size_bytes >= limit_bytes:
                    self._consumer.pause(place)
                    part.paused = True
            if not all(part.paused for part in self._partitions):
                return _POLL_SECONDS
            self._changed.wait(1.0)
            return 0

    def _poll(self, timeout_seconds: float) -> Mapping[Any, Sequence[Any]]:
        try:
            arrived: Mapping[Any, Sequence[Any]] = self._consumer.poll(1000 * timeout_seconds)
        except RetriableError as error:
            logger.debug("polling stream %r again after %s", self._stream, error)
            time.sleep(_POLL_SECONDS)
            return {}
        return arrived

    def _put(self, arrived: Mapping[Any, Sequence[Any]]) -> None:
        if arrived:
            topic_id = self._cluster.topic_id(self._stream)
            self._require_the_same_stream(topic_id and stream_id_of(topic_id))
            self._outage.is_over()
        behind = [self._consumer.position(place, timeout_ms=0) for place in self._places]
        with self._changed:
            for place, records in arrived.items():
                for record in records:
                    self._partitions[place.partition].put(_converted(record))
            for part, offset in zip(self._partitions, behind, strict=True):
                part.behind = part.behind if offset is None else offset
            if arrived:
                self._changed.notify_all()

    def _ask_after_the_stream(self) -> None:
        try:
            stream_id = self._identify(self._stream)
        except NotThere as error:
            self._outage.goes_on(error)
        else:
            self._require_the_same_stream(stream_id)
            self._outage.is_over()

    def _require_the_same_stream(self, stream_id: str | None) -> None:
        if stream_id not in (None, self._stream_id):
            raise BrokerError(
                f"stream {self._stream!r} was deleted and made anew while it was read (topic id "
                f"{stream_id}, before {self._stream_id}); its offsets name other records now"
            )

    def _explained(self, error: Exception) -> Exception:
        try:
            if isinstance(error, OffsetOutOfRangeError | LogTruncationError):
                self._require_the_same_stream(self._broker.stream_id(self._stream))
            if isinstance(error, OffsetOutOfRangeError):
                for place, offset in error.args[0].items():
                    watermarks = self._broker.watermarks(self._stream, place.partition)
                    check_offset(self._stream, place.partition, offset, watermarks)
        except BrokerError as explanation:
            return explanation
        if isinstance(error, OffsetOutOfRangeError | LogTruncationError):
            return PositionOutOfRange(
                f"stream {self._stream!r}: the broker has lost records that were written "
                f"({error}); go back to a checkpoint before them"
            )
        if isinstance(error, KafkaError):
            offsets = ", ".join(str(part.behind) for part in self._partitions)
            return BrokerError(
                f"stream {self._stream!r} cannot be read on from offset {offsets} (by partition): "
                f"{error}"
            )
        return error


class _Outage:
    """Says once that a broker is away, again after longer and longer times, and when it is back."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._began_at: float | None = None
        self._remind_at = 0.0
        self._pause_seconds = _FIRST_REMINDER_SECONDS

    def goes_on(self, reason: BrokerError) -> None:
        now = time.monotonic()
        if self._began_at is None:
            self._began_at, self._remind_at = now, now
            self._pause_seconds = _FIRST_REMINDER_SECONDS
        if now >= self._remind_at:
            logger.warning("stream %r cannot be read, trying on: %s", self._stream, reason)
            self._remind_at = now + self._pause_seconds
            self._pause_seconds = min(2 * self._pause_seconds, _LAST_REMINDER_SECONDS)

    def is_over(self) -> None:
        if self._began_at is not None:
            seconds = time.monotonic() - self._began_at
            logger.warning("stream %r can be read again, after %.0f s", self._stream, seconds)
            self._began_at = None


def _converted(record: Any) -> Record:
    """Whatever other programs have written: no value, headers without one or in other encodings."""
    headers = {
        key: (value or b"").decode("utf-8", errors="backslashreplace")
        for key, value in record.headers
    }
    seconds = record.timestamp / 1000
    return Record(record.partition, record.offset, seconds, headers, record.value or b"")
