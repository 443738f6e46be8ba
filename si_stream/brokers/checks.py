"""What every broker refuses, in the same words."""

from __future__ import annotations

from si_stream.brokers.interface import Watermarks
from si_stream.errors import BrokerError, PositionOutOfRange, StreamNotFound


def stream_not_found(stream: str) -> StreamNotFound:
    return StreamNotFound(f"there is no stream {stream!r}; create it, or check its name")


def check_partition_count(stream: str, wanted: int | None, existing: int | None) -> None:
    """Whether a stream can be created, or is there as it is wanted; None is with any number."""
    if wanted is None:
        return
    if wanted < 1:
        raise BrokerError(f"stream {stream!r} needs at least 1 partition, not {wanted}")
    if existing not in (None, wanted):
        raise BrokerError(
            f"stream {stream!r} exists with {existing} partitions, not {wanted}; "
            "take another name or as many partitions"
        )


def check_partition_total(stream: str, wanted: int, existing: int) -> None:
    """Whether a stream can be given so many partitions in all."""
    if wanted < existing:
        raise BrokerError(
            f"stream {stream!r} has {existing} partitions already, and none can be taken away to "
            f"make {wanted}; give it more, or take another name"
        )


def check_partition(stream: str, partition: int, count: int) -> None:
    if not 0 <= partition < count:
        raise BrokerError(
            f"stream {stream!r} has no partition {partition}; its last one is {count - 1}"
        )


def check_offset(stream: str, partition: int, offset: int, watermarks: Watermarks) -> None:
    """Whether a reader can go on from ``offset``."""
    if offset < watermarks.low:
        raise PositionOutOfRange(
            f"stream {stream!r}, partition {partition}: offset {offset} is no longer kept, the "
            f"lowest is {watermarks.low}; read on from there, or from a later checkpoint"
        )
    if offset > watermarks.high:
        raise PositionOutOfRange(
            f"stream {stream!r}, partition {partition}: offset {offset} was never written, the "
            f"next one will be {watermarks.high}; is it another stream's offset?"
        )
