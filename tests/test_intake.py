"""The intake: what is trained on, held out or rejected, and where a task ends; all counted once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from si_stream import events
from si_stream.batches import Admitted, TaskEnd
from si_stream.brokers.interface import Envelope, Position, Record
from si_stream.errors import Reason
from si_stream.intake import Intake
from si_stream.merging import Cursor, Delivery
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.opening import Opener
from si_stream.state import State
from tests.streams import (
    Listener,
    enveloped,
    learn,
    learned_contents,
    memory_broker,
    samples,
    settings,
)


class Desk:
    """An intake that is handed one message after the other, and acts on a task's end at once."""

    def __init__(self, **groups: Any) -> None:
        self.state = State(settings(**groups), "stream")
        self.host = Listener()
        limit = self.state.settings.stream.max_message_bytes
        self.opener = Opener(self.state.schema, self.state.holdouts, limit)
        self.intake = Intake(self.state, self.host.emit, self.host.set_aside, {})
        self.offset = 0

    def hand(self, *messages: Message | Envelope) -> list[TaskEnd | Admitted]:
        taken = []
        for envelope in enveloped(messages):
            record = Record(0, self.offset, 12.5, envelope.headers, envelope.value)
            self.offset += 1
            taken += self.again(record)
        return taken

    def again(self, record: Record) -> list[TaskEnd | Admitted]:
        taken = []
        for one in self.intake.take(self.delivery(record)):
            taken.append(one)
            if isinstance(one, TaskEnd):
                self.state.ledger.end_task(one)
        return taken

    def delivery(self, *records: Record) -> Delivery:
        before = Cursor({record.partition: Position(record.offset) for record in records})
        return Delivery(tuple(self.opener.open(records)), before, before.behind(records))

    def numbered(self, *messages: Message | Envelope) -> list[Record]:
        """A record in each partition from 0 on."""
        listed = enumerate(enveloped(messages))
        return [Record(n, 5, 12.5, one.headers, one.value) for n, one in listed]

    def rows(self, *messages: Message | Envelope) -> list[int]:
        """Of training samples numbered as by `samples`, the numbers that were admitted."""
        return [
            n for one in self.hand(*messages) if isinstance(one, Admitted) for n in numbers(one)
        ]

    @property
    def rejected(self) -> dict[str, int]:
        return self.state.ledger.rejected

    @property
    def tasks(self) -> list[str]:
        return [task.name for task in self.state.ledger.tasks.known]

    @property
    def held(self) -> dict[str, list[int]]:
        return {
            task: (held.inputs[:, 0].int() + 256 * held.inputs[:, 1].int()).tolist()
            for task, held in self.state.holdouts.sets.items()
        }


def numbers(taken: Admitted) -> list[int]:
    wide = taken.inputs.astype(int)
    return list(wide[:, 0] + 256 * wide[:, 1])


def as_json(**members: Any) -> Envelope:
    return Envelope({"content-type": "application/json"}, json.dumps(members).encode())


GOOD: dict[str, Any] = {"labels": [1], "inputs": [[1, 2, 3, 4]]}
BAD_MESSAGES = {
    Reason.UNDECODABLE: Envelope({}, b"\x00\xff"),
    Reason.WRONG_SHAPE: as_json(**GOOD | {"inputs": [[1, 2, 3]]}),
    Reason.WRONG_DTYPE: as_json(**GOOD | {"inputs": [[1, 2, 3, 0.5]]}),
    Reason.LABEL_OUT_OF_RANGE: as_json(**GOOD | {"labels": [3]}),
    Reason.TOO_LARGE: Envelope({}, b" " * 2000),
    Reason.WRONG_TASK: as_json(**GOOD | {"task": "other"}),
}


@pytest.mark.parametrize("reason", BAD_MESSAGES)
def test_a_bad_message_is_counted_by_its_reason_and_its_neighbours_are_admitted(
    reason: Reason,
) -> None:
    desk = Desk(stream={"max_message_bytes": 1024})
    assert desk.rows(samples(3, task="a")) == [0, 1, 2]
    assert desk.rows(BAD_MESSAGES[reason]) == []
    assert desk.rows(samples(3, 3, task="a")) == [3, 4, 5]
    assert desk.rejected == {reason: 1}
    [event] = desk.host.heard(events.Rejected)
    assert (event.reason, event.partition, event.offset) == (reason, 0, 1)
    assert event.row == (0 if reason is Reason.LABEL_OUT_OF_RANGE else None)
    assert event.detail


def test_bad_rows_are_counted_each_and_the_others_of_the_message_are_admitted() -> None:
    desk = Desk()
    [admitted] = desk.hand(samples(6, task="a", bad=(0, 3, 5)))
    assert isinstance(admitted, Admitted)
    assert (numbers(admitted), list(admitted.rows)) == ([1, 2, 4], [1, 2, 4])
    assert admitted.labels.tolist() == [1, 2, 1]
    assert desk.rejected == {Reason.LABEL_OUT_OF_RANGE: 3}
    assert [event.row for event in desk.host.heard(events.Rejected)] == [0, 3, 5]
    assert [event.samples for event in desk.host.heard(events.Received)] == [3]


def test_a_row_that_is_not_finite_is_rejected() -> None:
    desk = Desk(model={"dtype": "float32"})
    inputs = np.zeros((3, 4), np.float32)
    inputs[0, 1], inputs[2, 3] = np.nan, -np.inf
    [admitted] = desk.hand(Samples(inputs, np.zeros(3, np.int64), task="a"))
    assert isinstance(admitted, Admitted)
    assert list(admitted.rows) == [1]
    assert desk.rejected == {Reason.NOT_FINITE: 2}


def test_a_message_of_bad_rows_alone_opens_no_task() -> None:
    desk = Desk()
    assert desk.hand(samples(2, task="a", bad=(0, 1))) == []
    assert (desk.tasks, desk.host.heard(events.TaskOpened)) == ([], [])


def test_bad_holdout_rows_are_counted_and_not_kept() -> None:
    desk = Desk()
    desk.hand(samples(4, task="a", role="holdout", bad=(2,)))
    assert desk.held == {"a": [0, 1, 3]}
    assert desk.rejected == {Reason.LABEL_OUT_OF_RANGE: 1}


def test_what_is_read_again_is_admitted_again_but_counted_once() -> None:
    desk = Desk()
    stream: list[Message | Envelope] = [
        samples(5, task="a", bad=(1,)),
        samples(2, 900, task="a", role="holdout", bad=(0,)),
        BAD_MESSAGES[Reason.UNDECODABLE],
        BAD_MESSAGES[Reason.WRONG_TASK],
        samples(2, 5, task="a"),
    ]
    records = [Record(0, n, 0.0, e.headers, e.value) for n, e in enumerate(enveloped(stream))]

    def read_all() -> list[list[int]]:
        taken = [one for record in records for one in desk.again(record)]
        return [numbers(one) for one in taken if isinstance(one, Admitted)]

    first = read_all()
    counted, heard, held = dict(desk.rejected), list(desk.host.events), desk.held
    assert first == read_all() == [[0, 2, 3, 4], [5, 6]]
    assert (desk.rejected, desk.host.events, desk.held) == (counted, heard, held)
    assert counted == {"label_out_of_range": 2, "undecodable": 1, "wrong_task": 1}


def test_rows_before_the_position_are_not_admitted_again() -> None:
    desk = Desk()
    desk.hand(samples(6, task="a", bad=(0, 4)))
    desk.state.ledger.position[0] = Position(0, 3)
    desk.offset = 0
    [rest] = desk.hand(samples(6, task="a", bad=(0, 4)))
    assert isinstance(rest, Admitted)
    assert (numbers(rest), list(rest.rows)) == ([3, 5], [3, 5])
    assert desk.rejected == {Reason.LABEL_OUT_OF_RANGE: 2}


def test_the_first_message_after_a_gap_in_the_offsets_is_counted() -> None:
    desk = Desk()
    desk.hand(samples(1, task="a"))
    desk.offset = 7
    assert desk.rows(samples(2, 1, task="a", bad=(1,))) == [1]
    assert desk.rejected == {Reason.LABEL_OUT_OF_RANGE: 1}
    assert desk.state.ledger.counted == {0: Position(8)}


def test_received_samples_are_told_by_role_with_the_time_they_were_appended() -> None:
    desk = Desk()
    desk.hand(samples(3, task="a"), samples(2, 3, task="a", role="holdout"))
    assert desk.host.heard(events.Received) == [
        events.Received("train", 3, 12.5),
        events.Received("holdout", 2, 12.5),
    ]


def test_a_task_opens_at_its_first_training_sample_and_again_at_its_next() -> None:
    desk = Desk()
    desk.hand(samples(1, 900, task="a", role="holdout"), Boundary("0", next_task="a"))
    assert desk.tasks == []
    desk.hand(samples(1, task="a"), samples(1, 1, task="a"), Boundary("1"))
    desk.hand(samples(1, 2, task="b"), Boundary("2"), samples(1, 3, task="a"))
    assert desk.host.heard(events.TaskOpened) == [
        events.TaskOpened("a", number=0, head=0, known=1, samples=0),
        events.TaskOpened("b", number=1, head=1, known=2, samples=0),
        events.TaskOpened("a", number=0, head=0, known=2, samples=0, returned=True),
    ]


def test_with_a_shared_head_every_task_has_the_first() -> None:
    desk = Desk(model={"heads": "shared"})
    desk.hand(samples(1, task="a"), Boundary("1"), samples(1, 1, task="b"))
    assert [task.head for task in desk.state.ledger.tasks.known] == [0, 0]


def test_a_boundary_and_the_end_say_where_they_lie_and_what_they_are() -> None:
    desk = Desk()
    assert desk.hand(Boundary("1", next_task="b"), Boundary("1"), End("2"), End("2")) == [
        TaskEnd(at(0), at(1), ("1",), next_task="b"),
        TaskEnd(at(2), at(3), ("2",), ends_stream=True),
    ]


def at(offset: int, row: int = 0) -> Cursor:
    return Cursor({0: Position(offset, row)})


def test_the_boundaries_of_all_partitions_are_one() -> None:
    desk = Desk()
    messages = Boundary("1"), Boundary("2", next_task="b"), Boundary("1", next_task="c")
    delivery = desk.delivery(*desk.numbered(*messages))
    assert [*desk.intake.take(delivery)] == [
        TaskEnd(delivery.before, delivery.behind, ("1", "2"), next_task="b")
    ]
    assert delivery.behind == Cursor(dict.fromkeys(range(3), Position(6)), turn=0)
    assert desk.state.ledger.counted == dict.fromkeys(range(3), Position(6))


def test_of_boundaries_those_that_acted_before_say_nothing() -> None:
    desk = Desk()
    desk.hand(Boundary("1"))
    records = desk.numbered(Boundary("1", next_task="b"), Boundary("2"), End("1"))
    [end] = desk.intake.take(desk.delivery(*records))
    assert isinstance(end, TaskEnd)
    assert (end.event_ids, end.next_task, end.ends_stream) == (("2",), None, False)


def test_an_end_in_one_partition_is_the_end_of_all() -> None:
    desk = Desk()
    [end] = desk.intake.take(desk.delivery(*desk.numbered(Boundary("1"), End("2"))))
    assert isinstance(end, TaskEnd)
    assert (end.event_ids, end.ends_stream) == (("1", "2"), True)


def test_a_boundary_is_not_remembered_before_it_is_acted_on() -> None:
    """Else a stop in between, while the batch that it cuts short is trained, would lose it."""
    desk = Desk()
    delivery = desk.delivery(*desk.numbered(Boundary("1")))
    first, second = [*desk.intake.take(delivery)], [*desk.intake.take(delivery)]
    assert first == second == [TaskEnd(delivery.before, delivery.behind, ("1",))]


def test_announced_samples_that_name_no_task_belong_to_the_active_one() -> None:
    desk = Desk()
    assert desk.rows(samples(1, task="a"), samples(2, 1)) == [0, 1, 2]
    assert desk.tasks == ["a"]


def test_after_a_boundary_samples_without_a_name_belong_to_the_task_it_announced() -> None:
    desk = Desk()
    desk.hand(samples(1, task="a"), Boundary("1", next_task="b"), samples(1, 1))
    desk.hand(Boundary("2", next_task="c"), samples(1, 2, task="d"), Boundary("3"), samples(1, 3))
    assert desk.tasks == ["a", "b", "d", "task-4"]


def test_a_silent_stream_numbers_its_tasks() -> None:
    desk = Desk()
    desk.hand(samples(1, 900, role="holdout"), samples(1), Boundary("1"))
    desk.hand(samples(1, 901, role="holdout"), samples(1, 1), End("2"), samples(1, 2))
    assert desk.tasks == ["task-1", "task-2", "task-3"]
    assert desk.held == {"task-1": [900], "task-2": [901]}


def test_by_name_the_first_sample_of_another_task_is_the_boundary_at_its_place() -> None:
    desk = Desk(boundaries={"mode": "task-name"})
    desk.hand(samples(2, task="a"))
    end, admitted = desk.hand(samples(2, 2, task="b"))
    assert end == TaskEnd(at(1), at(1), source="task-name")
    assert isinstance(admitted, Admitted)
    assert (admitted.task.name, numbers(admitted)) == ("b", [2, 3])


def test_by_name_a_task_that_comes_again_has_its_head_again() -> None:
    desk = Desk(boundaries={"mode": "task-name"})
    taken = desk.hand(*(samples(1, n, task=name) for n, name in enumerate("abab")))
    heads = [one.task.head for one in taken if isinstance(one, Admitted)]
    assert heads == [0, 1, 0, 1]
    assert sum(isinstance(one, TaskEnd) for one in taken) == 3


def test_by_name_neither_holdout_samples_nor_a_missing_name_end_a_task() -> None:
    desk = Desk(boundaries={"mode": "task-name"})
    taken = desk.hand(
        samples(1, task="a"),
        samples(3, 900, task="b", role="holdout"),
        samples(1, 1),
        Boundary("1"),
    )
    assert [type(one) for one in taken] == [Admitted, Admitted, TaskEnd]
    assert desk.held == {"b": [900, 901, 902]}


def test_by_name_a_message_of_bad_rows_alone_ends_no_task() -> None:
    desk = Desk(boundaries={"mode": "task-name"})
    taken = desk.hand(samples(1, task="a"), samples(2, 1, task="b", bad=(0, 1)))
    assert [type(one) for one in taken] == [Admitted]
    assert desk.rejected == {Reason.LABEL_OUT_OF_RANGE: 2}


@pytest.mark.parametrize("mode", ["announced", "task-name"])
def test_a_task_too_many_is_rejected_and_the_known_ones_go_on(mode: str) -> None:
    desk = Desk(boundaries={"mode": mode, "max_tasks": 2})
    desk.hand(samples(1, task="a"), Boundary("1"), samples(1, 1, task="b"), Boundary("2"))
    assert desk.rows(samples(2, 2, task="c")) == []
    assert desk.rows(samples(1, 4, task="a")) == [4]
    assert desk.rejected == {Reason.TOO_MANY_TASKS: 1}
    assert desk.tasks == ["a", "b"]


def test_by_name_a_task_too_many_does_not_end_the_active_one() -> None:
    desk = Desk(boundaries={"mode": "task-name", "max_tasks": 1})
    assert [type(one) for one in desk.hand(samples(1, task="a"), samples(1, 1, task="b"))] == [
        Admitted
    ]


def test_holdout_samples_come_before_within_and_after_their_task() -> None:
    desk = Desk()
    for n, part in enumerate(["before", "within", "after"]):
        desk.hand(samples(2, 900 + 2 * n, task="a", role="holdout"))
        desk.hand(samples(1, n, task="a") if part == "before" else Boundary(part))
    assert desk.held == {"a": [900, 901, 902, 903, 904, 905]}


def test_holdouts_of_too_many_tasks_are_rejected_but_not_those_of_known_ones() -> None:
    desk = Desk(boundaries={"max_tasks": 2})
    for n, task in enumerate("xyz"):
        desk.hand(samples(1, n, task=task, role="holdout"))
    assert desk.held == {"x": [0], "y": [1]}
    assert desk.rejected == {Reason.TOO_MANY_TASKS: 1}
    desk.hand(samples(1, 3, task="a"), samples(1, 4, task="a", role="holdout"))
    assert desk.held == {"x": [0], "y": [1], "a": [4]}


def test_holdout_samples_are_not_kept_where_none_are_wanted() -> None:
    desk = Desk(holdout={"source": "off"})
    assert desk.rows(samples(2, task="a", role="holdout"), samples(1, 2, task="a")) == [2]
    assert desk.held == {}


def test_a_set_keeps_the_first_samples_up_to_its_capacity() -> None:
    desk = Desk(holdout={"capacity": 5})
    for first in range(0, 12, 3):
        desk.hand(samples(3, first, task="a", role="holdout"))
    assert desk.held == {"a": [0, 1, 2, 3, 4]}


def test_a_diverted_sample_is_never_admitted_and_the_same_sample_always_is_diverted() -> None:
    desk = Desk(holdout={"source": "divert", "share": 0.3, "capacity": 50})
    first = desk.rows(*(samples(50, 50 * n, task="a") for n in range(4)))
    assert desk.held == {"a": sorted(set(range(200)) - set(first))[:50]}
    assert 40 <= 200 - len(first) <= 80
    again = desk.rows(*(samples(1, n, task="a") for n in range(200)))
    assert again == first


def test_diverted_samples_are_held_out_for_their_own_task() -> None:
    desk = Desk(holdout={"source": "divert", "share": 0.5}, boundaries={"mode": "task-name"})
    desk.hand(samples(40, task="a"), samples(40, 40, task="b"))
    assert all(n < 40 for n in desk.held["a"])
    assert all(n >= 40 for n in desk.held["b"])


def test_classes_are_those_that_a_tasks_first_samples_name() -> None:
    desk = Desk()
    desk.hand(samples(1, task="a", classes=("cat", "dog")), samples(1, 1, task="a"))
    assert desk.state.ledger.tasks.known[0].classes == ("cat", "dog")


@pytest.mark.parametrize("limit", [1, 7, 8, 20, 59, 60, 61])
@pytest.mark.parametrize("per_message", [60, 13, 1])
def test_every_so_many_samples_a_task_ends_wherever_messages_do(
    limit: int, per_message: int
) -> None:
    messages: list[Message | Envelope] = [
        samples(min(per_message, 60 - first), first) for first in range(0, 60, per_message)
    ]
    given = settings(boundaries={"every_samples": limit})
    state, heard = learn(memory_broker([*messages, End("end")]), given)
    trained = [tested.samples for tested in state.measures()["main"].prequential.tasks.values()]
    full, rest = divmod(60, limit)
    assert trained == [limit] * full + [rest] * (rest > 0)
    stopped, _ = learn(memory_broker([*messages, End("end")]), given, host=Listener(stop_after=3))
    broker = memory_broker([*messages, End("end")])
    assert learned_contents(learn(broker, given, state=stopped)[0]) == learned_contents(state)
    assert heard.heard(events.Alarmed) == []


@pytest.mark.parametrize("per_message", [60, 13, 1])
def test_every_so_many_samples_no_task_begins_beyond_those_that_may_be_and_the_last_goes_on(
    per_message: int,
) -> None:
    messages: list[Message | Envelope] = [
        samples(min(per_message, 60 - first), first) for first in range(0, 60, per_message)
    ]
    given = settings(boundaries={"every_samples": 10, "max_tasks": 3})
    state, heard = learn(memory_broker([*messages, End("end")]), given)
    tasks = state.measures()["main"].prequential.tasks
    assert {name: one.samples for name, one in tasks.items()} == {
        "task-1": 10,
        "task-2": 10,
        "task-3": 40,
    }
    assert len(state.main.learner.heads) == 3
    assert state.ledger.consolidations == 3
    assert state.ledger.rejected == {}
    [told] = heard.heard(events.TaskGoesOn)
    assert (told.task, told.known) == ("task-3", 3)
    stopped, _ = learn(memory_broker([*messages, End("end")]), given, host=Listener(stop_after=5))
    broker = memory_broker([*messages, End("end")])
    assert learned_contents(learn(broker, given, state=stopped)[0]) == learned_contents(state)


def test_a_task_that_goes_on_ends_at_a_told_boundary_or_once_there_may_be_more() -> None:
    desk = Desk(boundaries={"every_samples": 10, "max_tasks": 1})
    assert [type(one) for one in desk.hand(samples(25), samples(5, 25))] == [Admitted, Admitted]
    [end] = desk.hand(Boundary("1", next_task="task-1"))
    assert isinstance(end, TaskEnd)
    assert desk.rows(samples(25, 30)) == [*range(30, 55)]
    desk.state.settings = settings(boundaries={"every_samples": 10, "max_tasks": 3})
    kinds = [type(one) for one in desk.hand(samples(25, 55))]
    assert kinds == [TaskEnd, Admitted, TaskEnd, Admitted]
    assert desk.tasks == ["task-1", "task-2", "task-3"]
    assert len(desk.host.heard(events.TaskGoesOn)) == 3


def test_samples_that_name_a_known_task_end_it_every_so_often_however_many_there_are() -> None:
    desk = Desk(boundaries={"every_samples": 10, "max_tasks": 1})
    kinds = [type(one) for one in desk.hand(samples(25, task="a"))]
    assert kinds == [Admitted, TaskEnd, Admitted, TaskEnd, Admitted]
    assert (desk.tasks, desk.host.heard(events.TaskGoesOn)) == (["a"], [])


@pytest.mark.parametrize("limit", [10, 29, 30, 31])
def test_a_limit_that_is_lowered_below_what_a_task_has_ends_it_at_once(limit: int) -> None:
    messages = [samples(10, first) for first in range(0, 60, 10)]
    broker, longer = memory_broker([*messages, End("end")]), {"every_samples": 1000}
    stopped, _ = learn(broker, settings(boundaries=longer), host=Listener(stop_after=3))
    learned = stopped.ledger.samples
    assert learned == 24
    stopped.settings = given = settings(boundaries={"every_samples": limit})
    state, _ = learn(broker, given, state=stopped)
    trained = [one.samples for one in state.measures()["main"].prequential.tasks.values()]
    assert trained[0] == max(learned, limit)
    assert set(trained[1:-1]) <= {limit}
    assert sum(trained) == 60
