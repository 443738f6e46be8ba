"""Intake: from a record to what the loop acts on, the samples to train and the ends of tasks.

Here messages are decoded, what cannot be learned from is rejected, and holdout samples are put
aside. Invariant: each row is counted once, also when a resumed learner reads it a second time
because its batch was not full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from si_stream import events
from si_stream.batches import Admitted, TaskEnd
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Position, Record
from si_stream.errors import MessageError
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.messages.validation import RejectedRow, rejected_rows
from si_stream.state import State


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


class Intake:
    """Args:
    state: its ledger and its holdout sets are kept up to date.
    emit: told of what is received and rejected.
    """

    def __init__(self, state: State, emit: events.Emit) -> None:
        self.state = state
        self.emit = emit

    def open(self, records: Sequence[Record]) -> list[Opened]:
        """Decode records, and see which rows can be learned from; nothing is counted yet.

        All at once, since the processor then has the code at hand: between two batches, which
        empty its caches, each would take five times as long.
        """
        return [self._opened(record) for record in records]

    def take(self, opened: Opened) -> Iterator[TaskEnd | Admitted]:
        """What a record asks for, in order: a task's end, samples to train on, both or neither.

        Each is to be acted on before the next is asked for.
        """
        ledger = self.state.ledger
        record, message, rows = opened
        here, behind = Position(record.offset), Position(record.offset + 1)
        fresh = here >= ledger.counted.get(record.partition, Position())
        taken: TaskEnd | Admitted | None = None
        try:
            if isinstance(message, MessageError):
                raise message
            if isinstance(message, Samples):
                assert rows is not None
                if self._begins_another_task(message, rows):
                    yield TaskEnd(here, event_id=None)
                taken = self._samples(record, message, rows, fresh)
            else:
                taken = self._task_end(message, behind)
        except MessageError as error:
            if fresh:
                self._reject(record, None, error)
        ledger.counted[record.partition] = max(behind, ledger.counted.get(record.partition, behind))
        if taken is not None:
            yield taken

    def _opened(self, record: Record) -> Opened:
        limit = self.state.settings.stream.max_message_bytes
        try:
            message = decode(record.headers, record.value, self.state.schema, limit)
        except MessageError as error:
            return Opened(record, error)
        rows = self._sorted(message) if isinstance(message, Samples) else None
        return Opened(record, message, rows)

    def _task_end(self, message: Boundary | End, then: Position) -> TaskEnd | None:
        if self.state.ledger.tasks.has_seen(message.event_id):
            return None
        if isinstance(message, End):
            return TaskEnd(then, message.event_id, ends_stream=True)
        return TaskEnd(then, message.event_id, message.next_task)

    def _sorted(self, samples: Samples) -> SortedRows:
        rejected = rejected_rows(samples, self.state.schema)
        bad = {row for row, _ in rejected}
        rows = range(len(samples))
        good = [row for row in rows if row not in bad] if bad else rows
        if samples.role == "holdout":
            return SortedRows(rejected, held=good, train=())
        diverted = self.state.holdouts.diverts(samples.inputs)
        if diverted is None:
            return SortedRows(rejected, held=(), train=good)
        held = [row for row in good if diverted[row]]
        return SortedRows(rejected, held, [row for row in good if not diverted[row]])

    def _begins_another_task(self, samples: Samples, rows: SortedRows) -> bool:
        """Raises MessageError where its task cannot be learned, or be held out for, now."""
        tasks, limits = self.state.ledger.tasks, self.state.settings.boundaries
        held_out = self.state.holdouts.sets
        if rows.held and (name := tasks.name_of(samples.task)) not in held_out:
            tasks.require_room(name, len(held_out), limits)
        if samples.role == "holdout":
            return False
        return tasks.check(samples.task, limits) and len(rows.train) > 0

    def _samples(
        self, record: Record, samples: Samples, rows: SortedRows, fresh: bool
    ) -> Admitted | None:
        """Rows are counted, held out and admitted; those before the position were trained on."""
        if fresh:
            for row, error in rows.rejected:
                self._reject(record, row, error)
            if rows.held:
                name = self.state.ledger.tasks.name_of(samples.task)
                held = list(rows.held)
                self.state.holdouts.add(name, samples.inputs[held], samples.labels[held])
            for role, chosen in (("train", rows.train), ("holdout", rows.held)):
                if chosen:
                    self.emit(events.Received(role, len(chosen), record.timestamp_seconds))
        if not rows.train:
            return None
        task = self._open(samples)
        resumed = self.state.ledger.position.get(record.partition, Position())
        left = rows.train
        if resumed.row and resumed.offset == record.offset:
            left = [row for row in left if row >= resumed.row]
        if len(left) == len(samples):
            return Admitted(task, samples.inputs, samples.labels, left)
        return Admitted(task, samples.inputs[left], samples.labels[left], left)

    def _open(self, samples: Samples) -> Task:
        ledger, model = self.state.ledger, self.state.settings.model
        opens = ledger.tasks.active is None
        task = ledger.tasks.open(samples.task, samples.classes, shared_head=model.heads == "shared")
        if opens:
            place = (len(ledger.tasks.known), ledger.samples)
            self.emit(events.TaskOpened(task.name, task.number, task.head, *place))
        return task

    def _reject(self, record: Record, row: int | None, error: MessageError) -> None:
        rejected = self.state.ledger.rejected
        rejected[error.reason] = rejected.get(error.reason, 0) + 1
        place = (record.partition, record.offset, row)
        self.emit(events.Rejected(error.reason, str(error), *place))
