"""Labels: local to a task or global to the stream, and noise.

Only the labels of training samples are ever noisy: what is held out measures the truth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulators.datasets import Labels
from simulators.scenarios import Scenario, Task


def globally_labelled(scenario: Scenario) -> Scenario:
    """The scenario with a label for each class of the stream, in the order in which they come.

    Tasks then add classes: a task's ``classes`` are its own and those of the tasks before it. For a
    model with one head for all tasks this is class-incremental learning. Classes of the same name
    share a label.

    Reference: van de Ven & Tolias, "Three scenarios for continual learning" (2019).
    """
    classes: list[str] = []
    tasks: list[Task] = []
    for task in scenario.tasks:
        classes += [name for name in task.classes if name not in classes]
        numbers = np.array([classes.index(name) for name in task.classes], dtype=np.int64)
        train, test = (
            replace(part, labels=numbers[part.labels]) for part in (task.train, task.test)
        )
        tasks.append(Task(task.name, tuple(classes), train, test))
    return Scenario(scenario.name, tuple(tasks))


def noisy(labels: Labels, own: Labels, share: float, generator: np.random.Generator) -> Labels:
    """A copy in which each label, with probability ``share``, is another one of ``own``.

    Args:
        own: ``[k]``, every label of the task in rising order, 2 or more.
    """
    wrong = np.flatnonzero(generator.random(len(labels)) < share)
    steps = generator.integers(1, len(own), len(wrong))
    changed = labels.copy()
    changed[wrong] = own[(np.searchsorted(own, labels[wrong]) + steps) % len(own)]
    return changed
