"""The streams of a model: make them, see them, give the first more partitions.

Invariant: a stream is never made without the one beside it for its dead letters, and one that is
there is never changed but by partitions that are added.
"""

from __future__ import annotations

from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker
from si_stream.dead_letters import create_stream_of_letters, stream_of_letters
from si_stream.errors import BrokerError, StreamNotFound
from si_stream.settings import Settings


def create_streams(settings: Settings, partitions: int | None) -> None:
    """Make the stream and that of its dead letters; say of each whether it was there.

    Raises:
        BrokerError: the stream is there with another number of partitions.
    """
    stream, limit = settings.stream.name, settings.stream.max_message_bytes
    with _opened(settings) as broker:
        existing = _count(broker, stream)
        if existing and partitions not in (None, existing):
            raise BrokerError(
                f"stream {stream!r} exists with {_partitions(existing)}, not {partitions}; "
                "`si-stream topics add-partitions` adds some, and none can be taken away"
            )
        broker.create_stream(stream, partitions, max_message_bytes=limit)
        _tell(broker, stream, existed=existing is not None)
        letters = stream_of_letters(stream)
        existed = _count(broker, letters) is not None
        create_stream_of_letters(broker, stream, limit)
        _tell(broker, letters, existed=existed)


def add_partitions(settings: Settings, total: int) -> None:
    """Let the stream have ``total`` partitions."""
    stream = settings.stream.name
    with _opened(settings) as broker:
        before = broker.partitions(stream)
        broker.add_partitions(stream, total)
    if before == total:
        print(f"stream {stream!r} has {_partitions(total)} already")
        return
    print(
        f"stream {stream!r} has {_partitions(total)} now, {before} before; a running learner takes "
        "the new ones in at the next boundary\n"
        "send that boundary to all partitions, and samples to the new ones only after it"
    )


def show_streams(settings: Settings) -> None:
    """Of the stream and that of its dead letters: id, size limit, what each partition holds."""
    stream = settings.stream.name
    with _opened(settings, read_only=True) as broker:
        print(f"at {settings.stream.broker}")
        _show(broker, stream)
        letters = stream_of_letters(stream)
        if _count(broker, letters) is None:
            print(f"\nthere is no stream {letters!r} yet; a learner makes it when it starts")
        else:
            _show(broker, letters)


def _opened(settings: Settings, *, read_only: bool = False) -> Broker:
    return open_broker(settings.stream.broker, settings.kafka, read_only=read_only)


def _count(broker: Broker, stream: str) -> int | None:
    try:
        return broker.partitions(stream)
    except StreamNotFound:
        return None


def _tell(broker: Broker, stream: str, *, existed: bool) -> None:
    how = "exists already" if existed else "created"
    count = _partitions(broker.partitions(stream))
    print(f"{how}: stream {stream!r}, {count}{_limit(broker, stream)}")


def _show(broker: Broker, stream: str) -> None:
    print(f"\nstream {stream!r}, id {broker.stream_id(stream)}{_limit(broker, stream)}")
    print(f"{'partition':>11}  {'low':>12}  {'high':>12}")
    for partition in range(broker.partitions(stream)):
        low, high = broker.watermarks(stream, partition)
        print(f"{partition:11}  {low:12}  {high:12}")


def _limit(broker: Broker, stream: str) -> str:
    limit = broker.max_message_bytes(stream)
    return "" if limit is None else f", messages of up to {limit:,} bytes"


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
