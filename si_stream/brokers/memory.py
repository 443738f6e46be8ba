"""A broker within one process, for tests, benchmarks and reproductions.

Invariant: what may be asked of it, and what it answers, is as with the embedded log, except
that it ends with the process.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition

from si_stream.brokers.checks import (
    check_offset,
    check_partition,
    check_partition_count,
    check_partition_total,
    stream_not_found,
)
from si_stream.brokers.interface import POLL_BYTES, Broker, Envelope, Reader, Record, Watermarks


@dataclass(slots=True)
class _Partition:
    """Records of offsets ``low``, ``low + 1``, …: there are no gaps in here."""

    low: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def watermarks(self) -> Watermarks:
        return Watermarks(self.low, self.low + len(self.records))


@dataclass(frozen=True, slots=True)
class _Stream:
    partitions: list[_Partition]
    stream_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class MemoryBroker(Broker):
    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._changed = Condition()

    def create_stream(
        self, stream: str, partitions: int | None = None, *, max_message_bytes: int | None = None
    ) -> None:
        with self._changed:
            existing = self._streams.get(stream)
            count = None if existing is None else len(existing.partitions)
            check_partition_count(stream, partitions, count)
            if existing is None:
                self._streams[stream] = _Stream([_Partition() for _ in range(partitions or 1)])

    def stream_id(self, stream: str) -> str:
        with self._changed:
            return self._stream(stream).stream_id

    def partitions(self, stream: str) -> int:
        with self._changed:
            return len(self._stream(stream).partitions)

    def add_partitions(self, stream: str, total: int) -> None:
        with self._changed:
            logs = self._stream(stream).partitions
            check_partition_total(stream, total, len(logs))
            logs += [_Partition() for _ in range(total - len(logs))]

    def append(self, stream: str, partition: int, envelopes: Sequence[Envelope]) -> list[int]:
        now = time.time()
        with self._changed:
            log = self._partition(stream, partition)
            first = log.watermarks.high
            log.records += [
                Record(partition, offset, now, dict(envelope.headers), envelope.value)
                for offset, envelope in enumerate(envelopes, first)
            ]
            self._changed.notify_all()
            return list(range(first, log.watermarks.high))

    def prune(self, stream: str, partition: int, below_offset: int) -> None:
        with self._changed:
            log = self._partition(stream, partition)
            low = max(log.low, min(below_offset, log.watermarks.high))
            del log.records[: low - log.low]
            log.low = low

    def newest_within(self, stream: str, partition: int, size_bytes: int) -> int:
        with self._changed:
            log = self._partition(stream, partition)
            first = log.watermarks.high
            for record in reversed(log.records):
                size_bytes -= len(json.dumps(dict(record.headers))) + len(record.value)
                if size_bytes < 0:
                    break
                first = record.offset
            return first

    def reader(self, stream: str, offsets: Mapping[int, int]) -> Reader:
        with self._changed:
            logs = self._stream(stream).partitions
            for partition in offsets:
                check_partition(stream, partition, len(logs))
            return _MemoryReader(stream, list(logs), offsets, self._changed)

    def watermarks(self, stream: str, partition: int) -> Watermarks:
        with self._changed:
            return self._partition(stream, partition).watermarks

    def close(self) -> None:
        pass

    def _stream(self, stream: str) -> _Stream:
        if stream not in self._streams:
            raise stream_not_found(stream)
        return self._streams[stream]

    def _partition(self, stream: str, partition: int) -> _Partition:
        logs = self._stream(stream).partitions
        check_partition(stream, partition, len(logs))
        return logs[partition]


class _MemoryReader(Reader):
    def __init__(
        self, stream: str, logs: list[_Partition], offsets: Mapping[int, int], changed: Condition
    ) -> None:
        self._stream = stream
        self._logs = logs
        self._next = [offsets.get(partition, 0) for partition in range(len(logs))]
        self._changed = changed

    @property
    def partitions(self) -> int:
        return len(self._logs)

    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        wanted = range(len(self._logs)) if partitions is None else partitions
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not (records := self._read(wanted)):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
        for record in records:
            self._next[record.partition] = record.offset + 1
        return records

    def next_offset(self, partition: int) -> int:
        return self._next[partition]

    def close(self) -> None:
        pass

    def _read(self, partitions: Collection[int]) -> list[Record]:
        records: list[Record] = []
        for partition in partitions:
            log, offset = self._logs[partition], self._next[partition]
            check_offset(self._stream, partition, offset, log.watermarks)
            size_bytes = 0
            for index in range(offset - log.low, len(log.records)):
                records.append(log.records[index])
                size_bytes += len(log.records[index].value)
                if size_bytes >= POLL_BYTES / len(self._logs):
                    break
        return records
