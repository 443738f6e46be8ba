"""Dead letters: what could not be learned from, kept with the reason on a stream of its own.

A letter holds the message's original bytes; a bad row of a message that is otherwise good becomes a
message of that row alone, so that sending it again does not train its neighbours again. One that is
too large for the stream of letters is kept without its message: no message stops a learner.

Invariant: each fault has one letter. A letter is durable before the checkpoint that passes its
place is written (1), the checkpoint holds how far the letters went (2), and a learner that resumes
from an older one finds the letters behind that mark and does not write them again (3).
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple

import numpy as np

from si_stream.brokers.interface import Broker, Envelope, Position, Record
from si_stream.errors import BrokerError, MessageError, MessageTooLarge
from si_stream.messages.codecs import ARROW, Codec, encode
from si_stream.messages.kinds import Samples
from si_stream.opening import Opened

logger = logging.getLogger(__name__)

PREFIX = "dead_letter_"
SOURCE = "/si-stream/dead-letters"
MARK = f"{PREFIX}resubmitted"
"""On the stream of letters, the header of a record that is no letter (`resubmissions`)."""
LEFT_OUT = f"{PREFIX}left_out_bytes"
STAYING = ("ce_id", "ce_type", "ce_source", "ce_time", "content-type")
"""Of a message that is left out, the headers that its letter keeps, each no longer than this."""
STAYING_CHARACTERS = 1000
ROOM_FOR_HEADERS_BYTES = 64 * 1024
FLUSH_BYTES = 1024 * 1024
KEPT_LETTERS = 100_000
KEPT_BYTES = 1024**3
"""In the embedded log, lest it grow without bound; Kafka has its own retention."""


def stream_of_letters(stream: str) -> str:
    return f"{stream}.dead-letter"


def create_stream_of_letters(broker: Broker, stream: str, max_message_bytes: int) -> None:
    """Make it where it is missing, for letters of all that the stream takes and their headers.

    Args:
        max_message_bytes: what is learned from at most; the stream may take more, or less.

    Raises:
        BrokerError: it cannot be made.
    """
    limit = max(max_message_bytes, broker.max_message_bytes(stream) or 0)
    broker.create_stream(
        stream_of_letters(stream), max_message_bytes=limit + ROOM_FOR_HEADERS_BYTES
    )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it was read: where it came from, what is wrong, and the message itself.

    Attributes:
        left_out_bytes: the size of the message where that was too large to be kept; it is empty.
    """

    letter_id: str
    partition: int
    offset: int
    row: int | None
    reason: str
    detail: str
    time: str
    message: Envelope
    left_out_bytes: int | None = None

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
            partition=_number(told.get("partition")) or 0,
            offset=_number(told.get("offset")) or 0,
            row=_number(told.get("row")),
            reason=told.get("reason", "unknown"),
            detail=told.get("detail", ""),
            time=told.get("time", ""),
            message=Envelope(original, bytes(record.value)),
            left_out_bytes=_number(record.headers.get(LEFT_OUT)),
        )


class Fault(NamedTuple):
    """What is wrong with a message, or with one row of it."""

    opened: Opened
    row: int | None
    error: MessageError


@dataclass
class Sealed:
    """Letters up to one moment, to be written together.

    Attributes:
        limit: of the letters that were there before and have not been met again, the first's
            offset: they are to be found behind the mark.
        behind: the mark, once they are durable.
    """

    letters: list[Envelope]
    limit: int | None
    behind: int | None = field(default=None)


class DeadLetters:
    """Writes the letters of one stream: added by the thread that learns, written by any.

    Args:
        broker: where the stream and its letters lie.
        stream: the stream that is learned from.
        max_message_bytes: what is learned from at most, a larger one has a letter.

    Attributes:
        kept_letters, kept_bytes: how many, and how much with their headers, `prune` leaves at most.

    Raises:
        BrokerError: the stream of letters cannot be made.
    """

    def __init__(self, broker: Broker, stream: str, max_message_bytes: int) -> None:
        self.broker = broker
        self.stream = stream
        self.stream_id = broker.stream_id(stream)
        self.letters = stream_of_letters(stream)
        create_stream_of_letters(broker, stream, max_message_bytes)
        self.kept_letters = KEPT_LETTERS
        self.kept_bytes = KEPT_BYTES
        self._pruned_at = 0
        self._written_before: dict[str, int] = {}
        self._open: list[Envelope] = []
        self._open_bytes = 0
        self._lock = Lock()
        self._sealed: deque[Sealed] = deque()
        self._behind = 0
        self._in_doubt = False

    def resume(self, offset: int, counted: Mapping[int, Position]) -> None:
        """Do not write again what stands behind the offset that a checkpoint holds (3).

        Args:
            counted: of each partition the first row whose faults are still to be met.
        """
        with self._lock:
            self._behind = self.broker.watermarks(self.letters, 0).high
            self._written_before = {
                letter.letter_id: place
                for place, letter in read_letters(self.broker, self.stream, offset)
                if Position(letter.offset) >= counted.get(letter.partition, Position())
            }

    def add(self, fault: Fault, time_seconds: float) -> None:
        """Write a letter, unless it was written before; it is durable after the next `flush`.

        Raises:
            BrokerError: there are so many that they were flushed, and the broker took none.
        """
        envelope = self._envelope(fault, time_seconds)
        if self._written_before.pop(_id_of(envelope), None) is not None:
            return
        self._open.append(envelope)
        self._open_bytes += len(envelope.value)
        if self._open_bytes >= FLUSH_BYTES:
            self.flush(self.seal())

    def seal(self) -> Sealed:
        """All letters up to now; for the thread that adds them."""
        sealed = Sealed(self._open, limit=next(iter(self._written_before.values()), None))
        self._open, self._open_bytes = [], 0
        self._sealed.append(sealed)
        return sealed

    def flush(self, sealed: Sealed) -> int:
        """Make the sealed letters durable (1); the mark for the checkpoint of that moment (2).

        Letters that stand there already and whose faults are still to come are not behind it.
        Where no letter waits the broker is not asked: it may be away when a checkpoint is due.

        Raises:
            BrokerError: the broker did not take them; they are kept for the next time.
        """
        with self._lock:
            while sealed.behind is None:
                first = self._sealed[0]
                self._append(first.letters)
                first.behind = self._behind if first.limit is None else first.limit
                self._sealed.popleft()
        return sealed.behind

    def prune(self, mark: int) -> None:
        """Forget the oldest of too many or too large ones, none behind a checkpoint's mark.

        Raises:
            BrokerError: it cannot be done now.
        """
        if mark == self._pruned_at:  # nothing has come since
            return
        first = self.broker.newest_within(self.letters, 0, self.kept_bytes)
        first = max(first, mark - self.kept_letters)
        self.broker.prune(self.letters, 0, min(first, mark))
        self._pruned_at = mark

    def _append(self, letters: list[Envelope]) -> None:
        if letters and self._in_doubt:
            letters = self._missing(letters)
        if not letters:
            return
        try:
            self._behind = self.broker.append(self.letters, 0, letters)[-1] + 1
        except MessageTooLarge as error:
            self._in_doubt = True
            letters = self._missing(letters)
            if len(letters) != 1:  # by halves, until it is found which
                middle = len(letters) // 2
                self._append(letters[:middle])
                self._append(letters[middle:])
            elif LEFT_OUT in letters[0].headers:
                raise
            else:
                logger.warning("the message of a dead letter is left out: %s", error)
                self._append([_without_message(letters[0])])
        except BrokerError:
            self._in_doubt = True
            raise

    def _missing(self, letters: list[Envelope]) -> list[Envelope]:
        """Less those that the broker has taken, and has not said so."""
        found = read_letters(self.broker, self.stream, self._behind)
        there = {letter.letter_id for _, letter in found}
        self._behind = self.broker.watermarks(self.letters, 0).high
        self._in_doubt = False
        return [letter for letter in letters if _id_of(letter) not in there]

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
        # A sender may have used our names: what is told of the letter is told by nobody else.
        own = {k: v for k, v in original.headers.items() if not k.startswith(PREFIX)}
        headers = {**own, **{PREFIX + name: text for name, text in told.items()}}
        return Envelope(headers, original.value)


def _without_message(letter: Envelope) -> Envelope:
    kept = {
        name: text[:STAYING_CHARACTERS]
        for name, text in letter.headers.items()
        if name in STAYING or name.startswith(PREFIX)
    }
    return Envelope({**kept, LEFT_OUT: str(len(letter.value))}, b"")


def _number(text: str | None) -> int | None:
    """Others may write into the stream of letters, whatever they like."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _id_of(envelope: Envelope) -> str:
    return envelope.headers[f"{PREFIX}id"]


def read_letters(broker: Broker, stream: str, offset: int = 0) -> Iterator[tuple[int, Letter]]:
    """The letters of a stream from an offset on, each with its own offset, up to the newest.

    Raises:
        StreamNotFound: there is no stream of letters, so nothing was ever rejected.
    """
    for record in read_records(broker, stream, offset):
        if MARK not in record.headers:
            yield record.offset, Letter.read(record)


def read_records(broker: Broker, stream: str, offset: int = 0) -> Iterator[Record]:
    """The letters, and the marks among them."""
    letters = stream_of_letters(stream)
    low, high = broker.watermarks(letters, 0)
    if max(low, offset) >= high:
        return
    with broker.reader(letters, {0: max(low, offset)}) as reader:
        while reader.next_offset(0) < high:
            for record in reader.poll(1.0):
                if record.offset < high:
                    yield record


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
