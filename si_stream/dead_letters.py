"""Dead letters: what could not be learned from, kept with the reason on a stream of its own.

A letter holds the message's original bytes; a bad row of a message that is otherwise good becomes a
message of that row alone, so that sending it again does not train its neighbours again.

Invariant: each fault has one letter. A letter is durable before the checkpoint that passes its
place is written (1), the checkpoint holds how far the letters went (2), and a learner that resumes
from an older one finds the letters behind that mark and does not write them again (3).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from si_stream.brokers.interface import Broker, Envelope, Record
from si_stream.errors import MessageError
from si_stream.messages.codecs import ARROW, Codec, encode
from si_stream.messages.kinds import Samples
from si_stream.opening import Opened

logger = logging.getLogger(__name__)

PREFIX = "dead_letter_"
SOURCE = "/si-stream/dead-letters"
ROOM_FOR_HEADERS_BYTES = 64 * 1024
FLUSH_BYTES = 1024 * 1024


def stream_of_letters(stream: str) -> str:
    return f"{stream}.dead-letter"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it was read: where it came from, what is wrong, and the message itself."""

    letter_id: str
    partition: int
    offset: int
    row: int | None
    reason: str
    detail: str
    time: str
    message: Envelope

    @classmethod
    def read(cls, record: Record) -> Letter:
        told = {
            name.removeprefix(PREFIX): text
            for name, text in record.headers.items()
            if name.startswith(PREFIX)
        }
        original = {k: v for k, v in record.headers.items() if not k.startswith(PREFIX)}
        return cls(
            letter_id=told.get("id", f"?/{record.offset}"),
            partition=int(told.get("partition", 0)),
            offset=int(told.get("offset", 0)),
            row=int(told["row"]) if "row" in told else None,
            reason=told.get("reason", "unknown"),
            detail=told.get("detail", ""),
            time=told.get("time", ""),
            message=Envelope(original, bytes(record.value)),
        )


class Fault(NamedTuple):
    """What is wrong with a message, or with one row of it."""

    opened: Opened
    row: int | None
    error: MessageError


class DeadLetters:
    """Writes the letters of one stream.

    Args:
        broker: where the stream and its letters lie.
        stream: the stream that is learned from.
        max_message_bytes: of that stream; letters may be larger by their headers.

    Raises:
        BrokerError: the stream of letters cannot be made.
    """

    def __init__(self, broker: Broker, stream: str, max_message_bytes: int) -> None:
        self.broker = broker
        self.stream = stream
        self.stream_id = broker.stream_id(stream)
        self.letters = stream_of_letters(stream)
        limit = max_message_bytes + ROOM_FOR_HEADERS_BYTES
        broker.create_stream(self.letters, max_message_bytes=limit)
        self._written_before: dict[str, int] = {}
        self._waiting: list[Envelope] = []
        self._waiting_bytes = 0

    def resume(self, offset: int) -> None:
        """Do not write again what stands behind the offset that a checkpoint holds (3)."""
        letters = read_letters(self.broker, self.stream, offset)
        self._written_before = {letter.letter_id: place for place, letter in letters}

    def add(self, fault: Fault, time_seconds: float) -> None:
        """Write a letter, unless it was written before; it is durable after the next `flush`."""
        envelope = self._envelope(fault, time_seconds)
        letter_id = envelope.headers[f"{PREFIX}id"]
        if self._written_before.pop(letter_id, None) is not None:
            return
        self._waiting.append(envelope)
        self._waiting_bytes += len(envelope.value)
        if self._waiting_bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> int:
        """Make all letters durable (1); the offset behind them, for the checkpoint (2).

        Letters that were written before, and whose places this learner has yet to come to, are
        not among them: one that resumes from that checkpoint must still find them.

        Raises:
            BrokerError: the broker did not take them; they are kept for the next time.
        """
        if self._waiting:
            self.broker.append(self.letters, 0, self._waiting)
            self._waiting, self._waiting_bytes = [], 0
        high = self.broker.watermarks(self.letters, 0).high
        return min(self._written_before.values(), default=high)

    def _envelope(self, fault: Fault, time_seconds: float) -> Envelope:
        record = fault.opened.record
        place = f"{record.partition}/{record.offset}"
        letter_id = f"{self.stream_id}/{place}" + ("" if fault.row is None else f"/{fault.row}")
        told = {
            "id": letter_id,
            "stream": self.stream,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "reason": str(fault.error.reason),
            "detail": str(fault.error),
            "time": datetime.fromtimestamp(time_seconds, UTC).isoformat(),
        }
        if fault.row is None:
            original = Envelope(record.headers, bytes(record.value))
        else:
            told["row"] = str(fault.row)
            original = _one_row(fault.opened, fault.row, letter_id)
        headers = {**original.headers, **{PREFIX + name: text for name, text in told.items()}}
        return Envelope(headers, original.value)


def read_letters(broker: Broker, stream: str, offset: int = 0) -> Iterator[tuple[int, Letter]]:
    """The letters of a stream from an offset on, each with its own offset, up to the newest.

    Raises:
        StreamNotFound: there is no stream of letters, so nothing was ever rejected.
    """
    letters = stream_of_letters(stream)
    low, high = broker.watermarks(letters, 0)
    if max(low, offset) >= high:
        return
    with broker.reader(letters, {0: max(low, offset)}) as reader:
        while reader.next_offset(0) < high:
            for record in reader.poll(1.0):
                if record.offset < high:
                    yield record.offset, Letter.read(record)


def _one_row(opened: Opened, row: int, letter_id: str) -> Envelope:
    samples, record = opened.message, opened.record
    assert isinstance(samples, Samples)
    alone = Samples(
        samples.inputs[row : row + 1],
        samples.labels[row : row + 1],
        samples.task,
        samples.role,
        samples.classes,
    )
    headers: Mapping[str, str] = record.headers
    as_json = not headers.get("content-type", "").startswith(ARROW)
    # JSON that was read may hold NaN, but none is written.
    codec: Codec = "json" if as_json and np.isfinite(alone.inputs).all() else "arrow"
    envelope = encode(alone, source=SOURCE, event_id=letter_id, codec=codec)
    # Nobody has checked the sender's source, so it is kept as it is.
    source = {"ce_source": headers.get("ce_source", SOURCE)}
    return Envelope({**envelope.headers, **source}, envelope.value)
