"""Sequences: which of a scenario's tasks come when, and with which of their training samples.

A task that comes again keeps its name, its classes and its test samples.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from string import ascii_uppercase

import numpy as np

from si_stream.errors import SettingsError
from simulators.options import Again
from simulators.scenarios import Purpose, Scenario, random_generator


def sequenced(
    scenario: Scenario,
    order: str | None = None,
    *,
    again: Again = "same",
    samples_per_task: int | None = None,
    seed: int = 0,
) -> Scenario:
    """The scenario's tasks in another order, once, several times or not at all.

    Args:
        order: a letter for each visit, as in ``"ABACB"``: A is the scenario's first task. Without
            it each task comes once.
        again: ``same``: each visit shows all the task's samples. ``other``: the seed deals them to
            its visits, so that none is shown on two.
        samples_per_task: at most so many training samples a visit, drawn by the seed.

    Raises:
        SettingsError: a letter stands for no task or twice in a row, or a task has fewer samples
            than visits.
    """
    visits = _numbers(order, scenario)
    parts = {
        number: random_generator(seed, Purpose.VISITS, number).permutation(
            len(scenario.tasks[number].train)
        )
        for number in set(visits)
    }
    tasks = []
    for at, number in enumerate(visits):
        task, rows = scenario.tasks[number], parts[number]
        if again == "other":
            rows = np.array_split(rows, visits.count(number))[visits[:at].count(number)]
            if len(rows) == 0:
                raise SettingsError(
                    f"task {task.name!r} has {len(task.train)} training samples for "
                    f"{visits.count(number)} visits: let it come again with the same"
                )
        # In the data set's order: what a replay shuffles is then the same where nothing is chosen.
        rows = np.sort(rows[:samples_per_task])
        train = replace(task.train, rows=task.train.rows[rows], labels=task.train.labels[rows])
        tasks.append(replace(task, train=train))
    return Scenario(scenario.name, tuple(tasks))


def _numbers(order: str | None, scenario: Scenario) -> list[int]:
    if order is None:
        return list(range(len(scenario.tasks)))
    letters = ascii_uppercase[: len(scenario.tasks)]
    unknown = [letter for letter in order if letter not in letters]
    if unknown or not order:
        raise SettingsError(
            f"the order {order!r} needs letters from A to {letters[-1]}, one for each of the tasks "
            f"of {scenario.name}: as in ABA"
        )
    for letter, following in pairwise(order):
        if letter == following:
            raise SettingsError(
                f"the order {order!r} has {letter} twice in a row, which is no change: name it once"
            )
    return [letters.index(letter) for letter in order]
