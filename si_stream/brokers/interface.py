"""What a broker is to SI Stream: named streams of records in numbered partitions.

Invariant of every broker: an offset, once read, always names the same record, and is
never used again. Offsets rise within a partition but may have gaps, so the next offset is
taken from what was read and never assumed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

# What one `Reader.poll` returns at most, or one record if that is larger. As much as stays in
# a core's cache until it is decoded: 4 MB are read from the embedded log at half the speed.
POLL_BYTES = 1024 * 1024


class Position(NamedTuple):
    """A place in a partition: the row within the message at the offset. Ordered."""

    offset: int = 0
    row: int = 0


def offsets(positions: Mapping[int, Position]) -> str:
    """For people: the offset of each partition, and the row where it is not the first.

    >>> offsets({0: Position(7, 3), 1: Position(5)})
    '0:7.3, 1:5'
    """
    return ", ".join(
        f"{partition}:{offset}" + (f".{row}" if row else "")
        for partition, (offset, row) in sorted(positions.items())
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message's encoded form: CloudEvents headers and the payload's bytes."""

    headers: Mapping[str, str]
    value: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """An envelope at its place in a stream, with the Unix time at which it was appended."""

    partition: int
    offset: int
    timestamp_seconds: float
    headers: Mapping[str, str]
    value: bytes | memoryview


class Watermarks(NamedTuple):
    """The lowest offset that can still be read, and the offset that the next record gets."""

    low: int
    high: int


class Reader(ABC):
    """Reads all partitions of one stream, each from its own offset on. For one thread."""

    @property
    @abstractmethod
    def partitions(self) -> int:
        """How many it reads: those that the stream had when the reader was made."""

    @abstractmethod
    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        """Records not yet read, in order within a partition; [] where none came in time.

        Only those of ``partitions`` where some are named; the others' stay for a later call. Some
        `POLL_BYTES` of them, shared evenly by the partitions, but one record at least of each
        partition that has one.

        Raises:
            PositionOutOfRange: an offset to read from has been pruned, or was never written.
            BrokerError: the broker cannot be read.
        """

    @abstractmethod
    def next_offset(self, partition: int) -> int:
        """Where the partition's unread records begin, known without asking the broker: behind
        all that `poll` returned and behind what is no record (a transaction's marker, say), so
        that a reader at the end of a partition stands at its high watermark."""

    def fetched_offset(self, partition: int) -> int:
        """The offset behind all that has been taken from the broker, also what `poll` has not yet
        returned, where it reads ahead. May be asked for in any thread."""
        return self.next_offset(partition)

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Broker(ABC):
    """A log of named streams. See `si_stream.brokers.open_broker` for the URLs.

    Its methods may be called from several threads. Each raises `BrokerError` where the broker
    cannot be reached, and `StreamNotFound` where there is no such stream.
    """

    keeps_all: ClassVar[bool] = True
    """Whether records stay until `prune` is called; else they have a retention of their own."""

    @abstractmethod
    def create_stream(
        self, stream: str, partitions: int | None = None, *, max_message_bytes: int | None = None
    ) -> None:
        """Create the stream; nothing happens where it exists with as many partitions.

        ``partitions`` None is 1 where it is created, and any number where it exists.
        ``max_message_bytes`` is for brokers that must be told how large a message may be,
        headers included; None is 10 MiB and some room.

        Raises:
            BrokerError: it exists with another number of partitions, or none is asked for.
        """

    @abstractmethod
    def stream_id(self, stream: str) -> str:
        """An id given at creation: a stream made anew under the same name has another one."""

    @abstractmethod
    def partitions(self, stream: str) -> int: ...

    @abstractmethod
    def add_partitions(self, stream: str, total: int) -> None:
        """Let the stream have ``total`` partitions; nothing happens where it has as many. A reader
        that is there already does not read the new ones.

        Raises:
            BrokerError: it has more than that: partitions cannot be taken away.
        """

    def max_message_bytes(self, stream: str) -> int | None:
        """How large a message the stream takes, headers included; None where nothing limits it, or
        one may not ask.
        """
        return None

    @abstractmethod
    def append(self, stream: str, partition: int, envelopes: Sequence[Envelope]) -> list[int]:
        """Append all or nothing and return the offsets, once they are durable.

        Raises:
            MessageTooLarge: one is larger than the stream takes.
        """

    @abstractmethod
    def prune(self, stream: str, partition: int, below_offset: int) -> None:
        """Forget the records below the offset, or below the high watermark if that is lower."""

    def newest_within(self, stream: str, partition: int, size_bytes: int) -> int:
        """The lowest offset from which on the records, headers included, take no more than so many
        bytes. Of brokers that keep all: others have a retention of their own.
        """
        raise NotImplementedError

    @abstractmethod
    def reader(self, stream: str, offsets: Mapping[int, int]) -> Reader:
        """A reader that begins at ``offsets[partition]`` (0 where a partition is not named)."""

    @abstractmethod
    def watermarks(self, stream: str, partition: int) -> Watermarks: ...

    def commit_hint(  # noqa: B027 - most brokers have nobody to tell
        self, stream: str, offsets: Mapping[int, int], checkpoint: str
    ) -> None:
        """Let the broker's own tools know how far a checkpoint is, by partition.

        Nothing is resumed from it, and a failure is no more than a warning in the log.
        """

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
