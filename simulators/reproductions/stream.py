"""A stream that is made while it is read, so that millions of samples need no room.

Invariant: a record that is read again, as after a rewind, is the same bytes. So records are kept
until whoever learns has no need of them any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from si_stream.brokers.checks import check_offset
from si_stream.brokers.interface import POLL_BYTES, Envelope, Reader, Record, Watermarks


class MadeStream:
    """One partition.

    Args:
        envelopes: from the stream's beginning; taken one after the other, when they are asked for.
        first_offset: of the first that will be read; those before it are made and forgotten.
    """

    def __init__(self, envelopes: Iterable[Envelope], first_offset: int = 0) -> None:
        self._envelopes: Iterator[Envelope] = islice(envelopes, first_offset, None)
        self._kept: deque[Record] = deque()
        self._low = first_offset

    @property
    def kept(self) -> int:
        """Records in memory."""
        return len(self._kept)

    def forget(self, below_offset: int) -> None:
        """No record below it will be read again."""
        while self._kept and self._low < below_offset:
            self._kept.popleft()
            self._low += 1

    def reader(self, offset: int) -> Reader:
        return _Reader(self, offset)

    def at(self, offset: int) -> Record | None:
        """None behind the stream's last record.

        Raises:
            PositionOutOfRange: it has been forgotten.
        """
        high = self._low + len(self._kept)
        check_offset("made", 0, min(offset, high), Watermarks(self._low, high))
        while offset >= self._low + len(self._kept):
            envelope = next(self._envelopes, None)
            if envelope is None:
                return None
            high = self._low + len(self._kept)
            # At the time 0: nothing of a record depends on when it was made.
            self._kept.append(Record(0, high, 0.0, envelope.headers, envelope.value))
        return self._kept[offset - self._low]


class _Reader(Reader):
    def __init__(self, stream: MadeStream, offset: int) -> None:
        self._stream = stream
        self._next = offset

    @property
    def partitions(self) -> int:
        return 1

    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        records: list[Record] = []
        size_bytes = 0
        while size_bytes < POLL_BYTES and 0 in (partitions if partitions is not None else (0,)):
            record = self._stream.at(self._next)
            if record is None:
                break
            records.append(record)
            size_bytes += len(record.value)
            self._next += 1
        return records

    def next_offset(self, partition: int) -> int:
        return self._next

    def close(self) -> None:
        pass
