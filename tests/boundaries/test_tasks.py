"""The tasks of a stream: opened at a first sample, ended by a boundary, and never too many."""

from __future__ import annotations

import pytest

from si_stream.boundaries.options import BoundaryOptions
from si_stream.boundaries.tasks import REMEMBERED_EVENT_IDS, Tasks
from si_stream.errors import MessageError, Reason

ANNOUNCED, BY_NAME = BoundaryOptions(), BoundaryOptions(mode="task-name")


def after(*names: str | None, shared_head: bool = False) -> Tasks:
    """Tasks that were opened one after the other, the last of them still active."""
    tasks = Tasks()
    for number, name in enumerate(names):
        if number:
            tasks.end([f"event-{number}"], None)
        tasks.open(name, None, shared_head=shared_head)
    return tasks


def test_tasks_are_numbered_in_the_order_in_which_they_open() -> None:
    known = after("b", "a", "c").known
    assert [(task.name, task.number, task.head) for task in known] == [
        ("b", 0, 0),
        ("a", 1, 1),
        ("c", 2, 2),
    ]


def test_a_task_that_comes_again_is_the_same_one() -> None:
    tasks = after("a", "b", "a")
    assert tasks.active == tasks.known[0]
    assert len(tasks.known) == 2


def test_a_shared_head_is_the_first_for_all() -> None:
    assert [task.head for task in after("a", "b", shared_head=True).known] == [0, 0]


def test_a_task_without_a_name_is_called_by_its_number() -> None:
    assert [task.name for task in after(None, "a", None).known] == ["task-1", "a", "task-3"]


def test_what_a_boundary_announces_names_the_next_task_only() -> None:
    tasks = after("a")
    tasks.end(["1"], next_task="b")
    assert tasks.name_of(None) == "b"
    assert tasks.open(None, None, shared_head=False).name == "b"
    tasks.end(["2"], None)
    assert tasks.name_of(None) == "task-3"


def test_a_boundary_that_announces_nothing_takes_back_what_was_announced() -> None:
    tasks = after("a")
    tasks.end(["1"], next_task="b")
    tasks.end(["2"], None)
    assert tasks.name_of(None) == "task-2"


def test_announced_another_name_is_the_wrong_task_until_a_boundary_comes() -> None:
    tasks = after("a")
    with pytest.raises(
        MessageError, match="'b' came while 'a' is active; send a boundary"
    ) as raised:
        tasks.check("b", ANNOUNCED)
    assert raised.value.reason is Reason.WRONG_TASK
    assert not tasks.check("a", ANNOUNCED)
    assert not tasks.check(None, ANNOUNCED)
    tasks.end(["1"], None)
    assert not tasks.check("b", ANNOUNCED)


def test_by_name_another_name_begins_another_task() -> None:
    tasks = after("a")
    assert tasks.check("b", BY_NAME)
    assert not tasks.check("a", BY_NAME)
    assert not tasks.check(None, BY_NAME)
    assert not Tasks().check("a", BY_NAME)


def test_one_task_more_than_max_tasks_is_refused() -> None:
    limit = BoundaryOptions(mode="task-name", max_tasks=2)
    tasks = after("a", "b")
    assert tasks.check("a", limit)
    with pytest.raises(MessageError, match="'c' would be one more than 2") as raised:
        tasks.check("c", limit)
    assert raised.value.reason is Reason.TOO_MANY_TASKS


def test_event_ids_are_remembered_for_long_but_not_for_ever() -> None:
    tasks = Tasks()
    for number in range(REMEMBERED_EVENT_IDS + 5):
        tasks.end([str(number)], None)
    assert len(tasks.event_ids) == REMEMBERED_EVENT_IDS
    assert not tasks.has_seen("4")
    assert tasks.has_seen("5")


def test_a_change_of_name_has_no_event_id_to_remember() -> None:
    tasks = after("a")
    tasks.end([], None)
    assert (tasks.event_ids, tasks.active) == ([], None)


def test_tasks_outlive_a_checkpoint() -> None:
    tasks = after("a", "b")
    tasks.end(["2"], next_task="a")
    assert Tasks.model_validate_json(tasks.model_dump_json()) == tasks
