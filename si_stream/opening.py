"""Opening: records decoded, and the rows of their samples sorted by what may be done with them.

Invariant: what comes out follows from the record and the settings alone; nothing is counted or
decided here, so a record may be opened as often as one likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from si_stream.brokers.interface import Record
from si_stream.errors import MessageError
from si_stream.evaluation.holdout import Holdouts
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Message, Samples, SampleSchema
from si_stream.messages.validation import RejectedRow, rejected_rows


class SortedRows(NamedTuple):
    """A message's rows, each in one of three: rejected with its fault, held out, or to train."""

    rejected: list[RejectedRow]
    held: Sequence[int]
    train: Sequence[int]


class Opened(NamedTuple):
    """A record and the message in it, or what is wrong with it; the rows of samples sorted."""

    record: Record
    message: Message | MessageError
    rows: SortedRows | None = None


class Opener:
    """Args:
    holdouts: which rows they divert.
    max_message_bytes: of a record's value.
    """

    def __init__(self, schema: SampleSchema, holdouts: Holdouts, max_message_bytes: int) -> None:
        self.schema = schema
        self.holdouts = holdouts
        self.max_message_bytes = max_message_bytes

    def open(self, records: Sequence[Record]) -> list[Opened]:
        """All at once, since the processor then has the code at hand: between two batches, which
        empty its caches, each record would take five times as long.
        """
        return [self._opened(record) for record in records]

    def _opened(self, record: Record) -> Opened:
        try:
            message = decode(record.headers, record.value, self.schema, self.max_message_bytes)
        except MessageError as error:
            return Opened(record, error)
        rows = self._sorted(message) if isinstance(message, Samples) else None
        return Opened(record, message, rows)

    def _sorted(self, samples: Samples) -> SortedRows:
        rejected = rejected_rows(samples, self.schema)
        bad = {row for row, _ in rejected}
        rows = range(len(samples))
        good = [row for row in rows if row not in bad] if bad else rows
        if samples.role == "holdout":
            return SortedRows(rejected, held=good, train=())
        diverted = self.holdouts.diverts(samples.inputs)
        if diverted is None:
            return SortedRows(rejected, held=(), train=good)
        held = [row for row in good if diverted[row]]
        return SortedRows(rejected, held, [row for row in good if not diverted[row]])
