"""Plasticity: how fast and how well a new task is learned, against what the first ones showed.

A network that has grown too stiff keeps its old tasks and learns no new ones. Of each task two
figures are kept when it first ends: the test-then-train accuracy over its first samples (how fast)
and its holdout accuracy then, R[j, j] (how well). Divided by the means of the first `FIRST_TASKS`
tasks they are ratios, 1 where it was learned as those were. Invariant: a task counts once, when it
first ends; what comes of it later changes nothing.
"""

from __future__ import annotations

from pydantic import BaseModel

from si_stream.evaluation.prequential import Tested

FIRST_TASKS = 3


class FirstTime(BaseModel):
    """How a task was learned before it first ended; None where it was too short to say, and for
    what was not measured."""

    early: float | None = None
    """Accuracy over its first samples, each predicted before it was learned."""
    learned: float | None = None
    """Holdout accuracy at its end."""


class Plasticity(BaseModel):
    """Tasks by name, in the order in which they first ended.

    Example (the fourth task is learned half as fast as the first three, and nearly as well):
        >>> plasticity = Plasticity()
        >>> for task, (right, learned) in enumerate([(90, 0.9), (80, 1.0), (70, 0.8), (40, 0.81)]):
        ...     tested = Tested(samples=500, early_samples=100, early_wrong=100 - right)
        ...     plasticity.end(f"task-{task}", tested, learned, first_samples=100)
        >>> round(plasticity.speed(), 2), round(plasticity.level(), 2)
        (0.5, 0.9)
    """

    tasks: dict[str, FirstTime] = {}

    def end(self, task: str, tested: Tested, learned: float | None, first_samples: int) -> None:
        """A task has ended for the first time; with fewer than half of ``first_samples`` it does
        not count."""
        count = tested.early_samples
        if 2 * count < first_samples:
            self.tasks[task] = FirstTime()
        else:
            early = 1.0 - tested.early_wrong / count
            self.tasks[task] = FirstTime(early=early, learned=learned)

    def copied(self) -> Plasticity:
        """As it is now; what is kept of a task is never changed."""
        return Plasticity(tasks=dict(self.tasks))

    def speed(self, task: str | None = None) -> float | None:
        """How fast a task was learned, by default the last that counts; None where none does."""
        return _ratio({name: one.early for name, one in self.tasks.items()}, task)

    def level(self, task: str | None = None) -> float | None:
        """How well a task was learned, by default the last that counts; None where none does."""
        return _ratio({name: one.learned for name, one in self.tasks.items()}, task)


def _ratio(figures: dict[str, float | None], task: str | None) -> float | None:
    known = {name: figure for name, figure in figures.items() if figure is not None}
    first = [*known.values()][:FIRST_TASKS]
    if not sum(first) or (task is not None and task not in known):
        return None
    figure = [*known.values()][-1] if task is None else known[task]
    return figure * len(first) / sum(first)
