"""Stretches: where in the training samples of a replay the world changes.

A stretch lasts from one change to the next. Which sample stands where depends on the scenario, the
seed and the options that change samples, not on whether changes are announced nor on how samples
are packed into messages: so a stream told its boundaries and a silent one can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from si_stream.errors import SettingsError
from simulators.datasets import Images, Labels
from simulators.labels import noisy
from simulators.options import ReplayOptions
from simulators.scenarios import Purpose, Scenario, Task, random_generator


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Training samples from the onset of one task to the onset of the next.

    Args:
        number: of the task among the scenario's.
        count: samples in the stretch.
        former: ``[drift_samples]``, whether each of the first samples still comes from the task
            before; empty where the change is sudden.
    """

    number: int
    count: int
    former: npt.NDArray[np.bool_]


def true_boundaries(scenario: Scenario, options: ReplayOptions) -> list[int]:
    """The changes of task: each as the index of its first sample among all training samples.

    As many as tasks, less one. Of a gradual change it is the onset, from where on the new task's
    share rises for `ReplayOptions.drift_samples` samples. An announced stream has its boundaries at
    these places, and a last one behind the last sample.

    Raises:
        SettingsError: a task has too few samples for the changes, or a single label for the noise.
    """
    return list(accumulate(stretch.count for stretch in stretches(scenario, options)))[:-1]


def stretches(scenario: Scenario, options: ReplayOptions) -> list[Stretch]:
    """All stretches of a replay, one for each task of the scenario.

    Raises:
        SettingsError: a task has too few samples for the changes, or a single label for the noise.
    """
    drift, last = options.drift_samples, len(scenario.tasks) - 1
    former = [np.zeros(0, dtype=np.bool_)]
    new_share = (np.arange(drift) + 0.5) / max(drift, 1)
    for number in range(1, last + 1):
        draws = random_generator(options.seed, Purpose.DRIFT, number).random(drift)
        former.append(draws >= new_share)
    planned: list[Stretch] = []
    for number, task in enumerate(scenario.tasks):
        shown = options.epochs_per_task * len(task.train)
        early = left_behind = 0
        if number < last:
            generator = random_generator(options.seed, Purpose.ENDS, number)
            early = int(generator.integers(0, options.boundary_jitter_samples + 1))
            left_behind = int(former[number + 1].sum())
        count = shown - early - left_behind + int(former[number].sum())
        if count <= len(former[number]):
            raise SettingsError(
                f"task {task.name!r} shows {shown:,} training samples, too few for a drift over "
                f"{drift:,} samples and boundaries up to {options.boundary_jitter_samples:,} "
                f"early: ask for less of either, or for more epochs"
            )
        if options.label_noise and len(np.unique(task.train.labels)) < 2:
            raise SettingsError(
                f"task {task.name!r} has a single label, and noise needs another to replace it by: "
                f"leave label noise out"
            )
        planned.append(Stretch(number, count, former[number]))
    return planned


class Shown:
    """A replay's training samples, to be taken one after the other, stretch by stretch."""

    def __init__(self, scenario: Scenario, options: ReplayOptions) -> None:
        self._tasks = [_Task(number, task, options) for number, task in enumerate(scenario.tasks)]

    def take(self, stretch: Stretch, first: int, count: int) -> tuple[Images, Labels]:
        """The stretch's samples from ``first`` on, where the last call stopped."""
        former = stretch.former[first : first + count]
        if not former.any():
            return self._tasks[stretch.number].take(count)
        old = np.zeros(count, dtype=np.bool_)
        old[: len(former)] = former
        inputs, labels = self._tasks[stretch.number - 1].take(int(old.sum()))
        new_inputs, new_labels = self._tasks[stretch.number].take(count - len(labels))
        place = np.where(old, np.cumsum(old) - 1, len(labels) + np.cumsum(~old) - 1)
        return (
            np.concatenate([inputs, new_inputs])[place],
            np.concatenate([labels, new_labels])[place],
        )


class _Task:
    """One task's training samples, epoch after epoch in another order each."""

    def __init__(self, number: int, task: Task, options: ReplayOptions) -> None:
        self._train = task.train
        self._epochs = self._drawn(number, task, options)
        self._rows = np.zeros(0, dtype=np.intp)
        self._labels = np.zeros(0, dtype=np.int64)

    def take(self, count: int) -> tuple[Images, Labels]:
        while len(self._rows) < count:
            rows, labels = next(self._epochs)
            self._rows = np.concatenate([self._rows, rows])
            self._labels = np.concatenate([self._labels, labels])
        rows, self._rows = self._rows[:count], self._rows[count:]
        labels, self._labels = self._labels[:count], self._labels[count:]
        return self._train.take(rows)[0], labels

    @staticmethod
    def _drawn(
        number: int, task: Task, options: ReplayOptions
    ) -> Iterator[tuple[npt.NDArray[np.intp], Labels]]:
        """Noise is drawn anew in each epoch: what is learned by heart is still wrong."""
        for epoch in range(options.epochs_per_task):
            order = random_generator(options.seed, Purpose.ORDER, number, epoch).permutation(
                len(task.train)
            )
            labels = task.train.labels[order]
            if options.label_noise:
                own = np.unique(task.train.labels)
                generator = random_generator(options.seed, Purpose.LABELS, number, epoch)
                labels = noisy(labels, own, options.label_noise, generator)
            yield order, labels
