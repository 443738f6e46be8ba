"""Intake: from a record to what the loop acts on, the samples to train and the ends of tasks.

Here messages are decoded, what cannot be learned from is rejected, and holdout samples are put
aside. Invariant: each row is counted once, also when a resumed learner reads it a second time
because its batch was not full.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from si_stream import events
from si_stream.batches import Admitted, TaskEnd
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Position, Record
from si_stream.errors import MessageError
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.messages.validation import rejected_rows
from si_stream.state import State


class Intake:
    """Args:
    state: its ledger and its holdout sets are kept up to date.
    emit: told of what is received and rejected.
    """

    def __init__(self, state: State, emit: events.Emit) -> None:
        self.state = state
        self.emit = emit

    def take(self, record: Record) -> Iterator[TaskEnd | Admitted]:
        """What a record asks for, in order: a task's end, samples to train on, both or neither.

        Each is to be acted on before the next is asked for.
        """
        ledger = self.state.ledger
        here, behind = Position(record.offset), Position(record.offset + 1)
        fresh = here >= ledger.counted.get(record.partition, Position())
        try:
            message = self._decoded(record)
            if self._begins_another_task(message):
                ledger.tasks.end(f"task-name/{record.partition}/{record.offset}", None)
                yield TaskEnd(then=here)
            admitted = self._admitted(record, message, fresh)
        except MessageError as error:
            if fresh:
                self._reject(record, None, error)
            admitted = None
        ledger.counted[record.partition] = max(behind, ledger.counted.get(record.partition, behind))
        if isinstance(admitted, TaskEnd) or (admitted and len(admitted.rows)):
            yield admitted

    def _decoded(self, record: Record) -> Message:
        limit = self.state.settings.stream.max_message_bytes
        return decode(record.headers, record.value, self.state.schema, limit)

    def _begins_another_task(self, message: Message) -> bool:
        if not isinstance(message, Samples) or message.role == "holdout":
            return False
        return self.state.ledger.tasks.check(message.task, self.state.settings.boundaries)

    def _admitted(self, record: Record, message: Message, fresh: bool) -> TaskEnd | Admitted | None:
        if isinstance(message, Samples):
            return self._samples(record, message, fresh)
        next_task = message.next_task if isinstance(message, Boundary) else None
        if not self.state.ledger.tasks.end(message.event_id, next_task):
            return None
        return TaskEnd(Position(record.offset + 1), ends_stream=isinstance(message, End))

    def _samples(self, record: Record, samples: Samples, fresh: bool) -> Admitted | None:
        """Rows are rejected, held out or admitted; those before the position were trained on."""
        good = np.ones(len(samples), bool)
        for row, error in rejected_rows(samples, self.state.schema):
            good[row] = False
            if fresh:
                self._reject(record, row, error)
        held = good & self._held_out(samples)
        train = good & ~held
        if fresh:
            self._hold_out(samples, held)
            for role, chosen in (("train", train), ("holdout", held)):
                if count := int(chosen.sum()):
                    self.emit(events.Received(role, count, record.timestamp_seconds))
        if not train.any():
            return None
        task = self._open(samples)
        resumed = self.state.ledger.position.get(record.partition, Position())
        if resumed.offset == record.offset:
            train[: resumed.row] = False
        if train.all():
            return Admitted(task, samples.inputs, samples.labels, range(len(samples)))
        rows = np.flatnonzero(train).tolist()
        return Admitted(task, samples.inputs[train], samples.labels[train], rows)

    def _held_out(self, samples: Samples) -> npt.NDArray[np.bool_] | bool:
        if samples.role == "holdout":
            return True
        diverted = self.state.holdouts.diverts(samples.inputs)
        return False if diverted is None else diverted

    def _hold_out(self, samples: Samples, held: npt.NDArray[np.bool_]) -> None:
        if held.any():
            task = self.state.ledger.tasks.name_of(samples.task)
            self.state.holdouts.add(task, samples.inputs[held], samples.labels[held])

    def _open(self, samples: Samples) -> Task:
        ledger, model = self.state.ledger, self.state.settings.model
        opens = ledger.tasks.active is None
        task = ledger.tasks.open(
            samples.task, samples.classes, shared_head=model.heads == "shared"
        )
        if opens:
            self.emit(events.TaskOpened(task.name, task.number, task.head, ledger.samples))
        return task

    def _reject(self, record: Record, row: int | None, error: MessageError) -> None:
        rejected = self.state.ledger.rejected
        rejected[error.reason] = rejected.get(error.reason, 0) + 1
        place = (record.partition, record.offset, row)
        self.emit(events.Rejected(error.reason, str(error), *place))
