"""Intake: from a delivered message to what the loop acts on, samples to train or a task's end.

Here messages are counted, what cannot be learned from is rejected, and holdout samples are put
aside. Invariant: each row is counted once, also when a resumed learner reads it a second time
because its batch was not full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from si_stream import events
from si_stream.batches import Admitted, Source, TaskEnd
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Position, Record
from si_stream.dead_letters import Fault
from si_stream.errors import MessageError
from si_stream.merging import Cursor, Delivery
from si_stream.messages.kinds import Boundary, End, Samples
from si_stream.opening import Opened, SortedRows
from si_stream.state import State


class Intake:
    """Args:
    state: its ledger and its holdout sets are kept up to date.
    emit: told of what is received and rejected.
    set_aside: given what is rejected.
    heard: of each partition the first row to tell of, where earlier ones are read again.
    """

    def __init__(
        self,
        state: State,
        emit: events.Emit,
        set_aside: Callable[[Fault], None],
        heard: Mapping[int, Position],
    ) -> None:
        self.state = state
        self.emit = emit
        self.set_aside = set_aside
        self.heard = heard
        self._admitted = state.ledger.task_samples

    def take(self, delivery: Delivery) -> Iterator[TaskEnd | Admitted]:
        """What a delivery asks for, in order: a task's end, samples to train on, both or neither.

        Each is to be acted on before the next is asked for.
        """
        counted = self.state.ledger.counted
        if isinstance(delivery.opened[0].message, Boundary | End):
            taken: TaskEnd | Admitted | None = self._task_end(delivery)
        else:
            (opened,) = delivery.opened
            record, message, rows = opened
            fresh = Position(record.offset) >= counted.get(record.partition, Position())
            taken = None
            try:
                if isinstance(message, MessageError):
                    raise message
                assert isinstance(message, Samples)
                assert rows is not None
                if self._begins_another_task(message, rows):
                    here = delivery.behind.within(record, 0)
                    self._admitted = 0
                    yield TaskEnd(before=here, behind=here, source="task-name")
                taken = self._samples(opened, message, rows, fresh, delivery.behind)
            except MessageError as error:
                if fresh:
                    self._reject(Fault(opened, None, error))
        for record, *_ in delivery.opened:
            behind = Position(record.offset + 1)
            counted[record.partition] = max(behind, counted.get(record.partition, behind))
        if isinstance(taken, Admitted):
            yield from self._divided(taken, delivery)
        elif taken is not None:
            self._admitted = 0
            yield taken

    def _divided(self, taken: Admitted, delivery: Delivery) -> Iterator[TaskEnd | Admitted]:
        """The samples of a message, and among them the boundaries that no message tells of."""
        samples = delivery.opened[0].message
        assert isinstance(samples, Samples)
        while (end := self._end_within(taken, samples.task)) is not None:
            at, source = end
            if at:
                yield taken.part(0, at)
            here = delivery.behind.within(taken.record, taken.rows[at])
            self._admitted = 0
            yield TaskEnd(before=here, behind=here, source=source)
            taken = taken.part(at, len(taken.rows))._replace(task=self._open(samples))
        self._admitted += len(taken.rows)
        yield taken

    def _end_within(self, taken: Admitted, named: str | None) -> tuple[int, Source] | None:
        """Before which of the samples a task ends, and what says so.

        Args:
            named: the task that the samples name.
        """
        ledger, options = self.state.ledger, self.state.settings.boundaries
        cut, limit, record = ledger.cut, options.every_samples, taken.record
        if cut is not None and (cut[0], cut[1].offset) == (record.partition, record.offset):
            row = cut[1].row
            if row in taken.rows:
                return list(taken.rows).index(row), "detected"
        if limit is None or self._admitted + len(taken.rows) <= limit:
            return None
        if ledger.tasks.may_end(named, options):
            return max(0, limit - self._admitted), "every-samples"  # 0: a limit was changed
        if self._admitted <= limit:  # else it has been told
            self.emit(events.TaskGoesOn(taken.task.name, len(ledger.tasks.known), ledger.samples))
        return None

    def _task_end(self, delivery: Delivery) -> TaskEnd | None:
        """What the boundaries that were delivered as one say; None where all acted before."""
        messages = [one.message for one in delivery.opened]
        new = [
            message
            for message in messages
            if isinstance(message, Boundary | End)
            and not self.state.ledger.tasks.has_seen(message.event_id)
        ]
        if not new:
            return None
        named = (message.next_task for message in new if isinstance(message, Boundary))
        return TaskEnd(
            delivery.before,
            delivery.behind,
            event_ids=tuple(dict.fromkeys(message.event_id for message in new)),
            next_task=next((name for name in named if name is not None), None),
            ends_stream=any(isinstance(message, End) for message in new),
        )

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
        self, opened: Opened, samples: Samples, rows: SortedRows, fresh: bool, behind: Cursor
    ) -> Admitted | None:
        """Rows are counted, held out and admitted; those before the position were trained on."""
        record = opened.record
        if fresh:
            for row, error in rows.rejected:
                self._reject(Fault(opened, row, error))
            if rows.held:
                name = self.state.ledger.tasks.name_of(samples.task)
                held = list(rows.held)
                self.state.holdouts.add(name, samples.inputs[held], samples.labels[held])
            for role, chosen in (("train", rows.train), ("holdout", rows.held)):
                if chosen:
                    self._tell(record, events.Received(role, len(chosen), record.timestamp_seconds))
        if not rows.train:
            return None
        task = self._open(samples)
        resumed = self.state.ledger.position.get(record.partition, Position())
        left = rows.train
        if resumed.row and resumed.offset == record.offset:
            left = [row for row in left if row >= resumed.row]
        if len(left) == len(samples):
            return Admitted(task, samples.inputs, samples.labels, left, record, behind)
        return Admitted(task, samples.inputs[left], samples.labels[left], left, record, behind)

    def _open(self, samples: Samples) -> Task:
        ledger, model = self.state.ledger, self.state.settings.model
        opens, before = ledger.tasks.active is None, len(ledger.tasks.known)
        task = ledger.tasks.open(samples.task, samples.classes, shared_head=model.heads == "shared")
        if opens:
            known = len(ledger.tasks.known)
            place = (known, ledger.samples, known == before)
            self.emit(events.TaskOpened(task.name, task.number, task.head, *place))
        return task

    def _reject(self, fault: Fault) -> None:
        rejected, reason = self.state.ledger.rejected, fault.error.reason
        rejected[reason] = rejected.get(reason, 0) + 1
        record = fault.opened.record
        place = (record.partition, record.offset, fault.row)
        self._tell(record, events.Rejected(reason, str(fault.error), *place))
        self.set_aside(fault)

    def _tell(self, record: Record, event: events.Event) -> None:
        if Position(record.offset) >= self.heard.get(record.partition, Position()):
            self.emit(event)
