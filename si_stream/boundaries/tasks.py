"""The tasks of a stream: which are known, which is active, and where one ends.

Invariant: what is decided here depends on the messages' contents and order alone. A task opens at
its first training sample and is active until a boundary; an event id acts once.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from si_stream.boundaries.options import BoundaryOptions
from si_stream.errors import MessageError, Reason

REMEMBERED_EVENT_IDS = 10_000


class Task(BaseModel):
    """A task that has been opened; ``number`` counts from 0 in the order of opening."""

    name: str
    number: int
    head: int
    classes: tuple[str, ...] | None = None


class Tasks(BaseModel):
    """Every task so far; part of the checkpoint.

    Example:
        >>> tasks = Tasks()
        >>> tasks.open("cats", None, shared_head=False).head
        0
        >>> tasks.end(["event-1"], next_task="dogs")
        >>> tasks.name_of(None), tasks.has_seen("event-1")
        ('dogs', True)
    """

    known: list[Task] = []
    active: Task | None = None
    announced: str | None = None
    event_ids: list[str] = []
    ended: int | None = None
    """The number of the task that ended last."""
    unnamed: bool = False
    """Whether nobody has named the active task, so that it may be a known one."""

    def copied(self) -> Tasks:
        """As they are now; a task, once opened, is never changed."""
        return self.model_copy(update={"known": [*self.known], "event_ids": [*self.event_ids]})

    def name_of(self, told: str | None) -> str:
        """The task that samples belong to which name this one, or none at all."""
        if told is not None:
            return told
        if self.active is not None:
            return self.active.name
        return self.announced or self._unnamed()

    def find(self, name: str) -> Task | None:
        return next((task for task in self.known if task.name == name), None)

    def open(self, told: str | None, classes: tuple[str, ...] | None, *, shared_head: bool) -> Task:
        """The active task; where there is none, its first sample begins it or takes it up again."""
        if self.active is None:
            name, number = self.name_of(told), len(self.known)
            head = 0 if shared_head else number
            self.unnamed = told is None and self.announced is None
            self.active = self.find(name)
            if self.active is None:
                self.active = Task(name=name, number=number, head=head, classes=classes)
                self.known.append(self.active)
            self.announced = None
        return self.active

    def check(self, told: str | None, options: BoundaryOptions) -> bool:
        """Whether training samples that name this task begin another one than the active.

        Raises:
            MessageError: they name another task although no boundary has come (``announced``), or
                there would be too many tasks.
        """
        name = self.name_of(told)
        changes = self.active is not None and name != self.active.name
        if changes and self.active and options.mode == "announced":
            raise MessageError(
                Reason.WRONG_TASK,
                f"a sample of task {name!r} came while {self.active.name!r} is active; send a "
                "boundary first, or set boundaries.mode to 'task-name'",
            )
        self.require_room(name, len(self.known), options)
        return changes

    def require_room(self, name: str, count: int, options: BoundaryOptions) -> None:
        """Check that one more task than ``count`` may begin or be held out for, if it is new.

        Raises:
            MessageError: there would be too many.
        """
        if not self._has_room(name, count, options):
            raise MessageError(
                Reason.TOO_MANY_TASKS,
                f"task {name!r} would be one more than {count}, and boundaries.max_tasks is "
                f"{options.max_tasks}; raise it if the task is meant, or name the known task that "
                "the samples are of",
            )

    def may_end(self, told: str | None, options: BoundaryOptions) -> bool:
        """Whether samples that name this task, or none, could go on behind an end of the active
        one that announces none."""
        return self._has_room(told or self._unnamed(), len(self.known), options)

    def _has_room(self, name: str, count: int, options: BoundaryOptions) -> bool:
        return self.find(name) is not None or count < options.max_tasks

    def _unnamed(self) -> str:
        return f"task-{len(self.known) + 1}"

    def has_seen(self, event_id: str) -> bool:
        return event_id in self.event_ids

    def end(self, event_ids: Iterable[str], next_task: str | None) -> None:
        """No task is active any more; the messages' event ids will not act again."""
        self.event_ids = [*self.event_ids, *event_ids][-REMEMBERED_EVENT_IDS:]
        self.ended = self.active.number if self.active else self.ended
        self.active, self.announced = None, next_task
