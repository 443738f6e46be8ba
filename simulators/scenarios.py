"""Scenarios: data sets told as tasks, one after the other.

Every scenario is decided by its name, the seed and the data set alone. Labels are local to
a task (0, 1, … in the order in which the task names its classes; `labels` makes them global), and
images are copied and changed only as they are taken, so a scenario holds each data set once
however many tasks share it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from si_stream.errors import DataError, SettingsError
from si_stream.messages.fields import MAX_NAME_CHARACTERS
from si_stream.messages.kinds import Dtype, SampleSchema
from simulators.changes import Change, Contrast, Inversion, Permutation, Rotation
from simulators.datasets import Dataset, Images, Labels, data_directory
from simulators.options import ScenarioName


class Purpose(IntEnum):
    """What random numbers are drawn for; part of the key of each generator."""

    PIXELS = 0
    ORDER = 1
    HOLDOUT = 2
    LABELS = 3
    ENDS = 4
    DRIFT = 5
    VISITS = 6
    MIX = 7


def random_generator(seed: int, purpose: Purpose, task: int, epoch: int = 0) -> np.random.Generator:
    """The generator for one purpose, whatever else has been drawn before."""
    return np.random.Generator(np.random.PCG64([seed, purpose, task, epoch]))


@dataclass(frozen=True, slots=True, eq=False)
class SampleSet:
    """A task's samples of one kind, looking into the images of its data set.

    Args:
        images: ``[N, *shape]``, shared with other tasks.
        rows: ``[n]``, which images belong to the task.
        labels: ``[n]`` int64, below the number of the task's classes.
        change: how the task sees its images, or None for as they are.
    """

    images: Images
    rows: npt.NDArray[np.intp]
    labels: Labels
    change: Change | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: npt.NDArray[np.intp]) -> tuple[Images, Labels]:
        """Copies of the samples ``which`` (numbers below ``len(self)``), in that order."""
        inputs = self.images[self.rows[which]]
        return inputs if self.change is None else self.change(inputs), self.labels[which]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One task: its name, what its labels 0, 1, … stand for, and its samples."""

    name: str
    classes: tuple[str, ...]
    train: SampleSet
    test: SampleSet


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Tasks in the order in which they are learned, all of one input shape and dtype."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def schema(self) -> SampleSchema:
        """The input's shape and dtype, and the classes of the task that has most."""
        images = self.tasks[0].train.images
        dtype: Dtype = "uint8" if images.dtype == np.uint8 else "float32"
        outputs = max(len(task.classes) for task in self.tasks)
        return SampleSchema(images.shape[1:], dtype, outputs)


_DIGIT_PAIRS = [("0", "1"), ("2", "3"), ("4", "5"), ("6", "7"), ("8", "9")]
_CHANGES: dict[str, list[tuple[str, Change | None]]] = {
    "rotated": [
        ("rotation-0", None),
        *((f"rotation-{degrees}", Rotation(degrees)) for degrees in (45, 90, 135, 180)),
    ],
    "inverted": [("plain", None), ("inverted", Inversion())],
    "contrast": [
        ("contrast-100", None),
        *((f"contrast-{percent}", Contrast(percent / 100)) for percent in (40, 20, 10)),
    ],
    "stationary": [("stationary", None)],
}


def load_scenario(
    name: ScenarioName,
    *,
    seed: int = 0,
    task_count: int | None = None,
    directory: Path | None = None,
) -> Scenario:
    """One of the scenarios that need no file of a person's own.

    ==================  =====================================================================
    ``split-mnist``     5 tasks of 2 digits: ``digits-0-1`` … ``digits-8-9``
    ``split-cifar``     ``cifar-10``, then classes of CIFAR-100: ``cifar-100-0-9`` …
                        ``cifar-100-40-49``
    ``permuted-mnist``  10 tasks (or ``task_count``) of 10 digits, the pixels of all images of a
                        task in one random order: ``permutation-0`` (as they are) …
    ``rotated-mnist``   5 tasks of 10 digits, each turned by 45 degrees more: ``rotation-0`` …
                        ``rotation-180``
    ``inverted-mnist``  2 tasks of 10 digits: ``plain``, and dark for light: ``inverted``
    ``contrast-mnist``  4 tasks of 10 digits with less and less contrast: ``contrast-100`` (as they
                        are), ``contrast-40``, ``contrast-20``, ``contrast-10`` per cent
    ``stationary-…``    1 task of all classes
    ==================  =====================================================================

    ``…-digits`` are scikit-learn's bundled digits, in the same tasks. Rotated, inverted, contrast
    and stationary are also there as ``…-cifar10``.

    Args:
        seed: decides the permutations.
        task_count: only the first so many tasks.
        directory: where data sets lie and are downloaded to; `data_directory()` by default.

    Raises:
        DataError: the data set can be neither found nor downloaded.
        SettingsError: the scenario has fewer tasks.
    """
    if task_count is not None and task_count < 1:
        raise SettingsError(f"{task_count} tasks were asked for: ask for one or more")
    directory = directory or data_directory()
    if name == "split-cifar":
        return _split_cifar(_at_most(6, task_count, name), directory)
    kind, source = name.split("-")
    if kind == "permuted":
        return permuted(name, _load(source, directory), task_count or 10, seed)
    if kind == "split":
        groups = _DIGIT_PAIRS[: _at_most(5, task_count, name)]
        return split(name, _load(source, directory), groups, "digits")
    changes = _CHANGES[kind]
    chosen = changes[: _at_most(len(changes), task_count, name)]
    return changed(name, _load(source, directory), chosen)


def split(name: str, dataset: Dataset, groups: Sequence[Sequence[str]], prefix: str) -> Scenario:
    """A scenario of one task for each group of class names, called ``prefix-class-class…``, or
    ``prefix-class-to-class`` where that would be too long a name.

    Raises:
        SettingsError: a group is empty, or a class is unknown or named twice.
    """
    named = [label for group in groups for label in group]
    for label in named:
        if label not in dataset.class_names:
            known = ", ".join(dataset.class_names)
            raise SettingsError(f"{dataset.name} has no class {label!r}; its classes are {known}")
        if named.count(label) > 1:
            raise SettingsError(f"class {label!r} is named twice: name each class in one task only")
    if not groups or not all(groups):
        raise SettingsError("a task has no class: name one or more for each, as in 0,1/2,3")
    numbers = {label: number for number, label in enumerate(dataset.class_names)}
    return Scenario(
        name,
        tuple(
            _class_task(_name(prefix, group), dataset, [numbers[label] for label in group])
            for group in groups
        ),
    )


def permuted(name: str, dataset: Dataset, task_count: int, seed: int) -> Scenario:
    """A scenario of all classes in every task, under another order of the pixels in each but
    the first."""
    pixel_count = dataset.train_images[0].size
    changes: list[tuple[str, Change | None]] = [("permutation-0", None)]
    for number in range(1, task_count):
        pixels = random_generator(seed, Purpose.PIXELS, number).permutation(pixel_count)
        changes.append((f"permutation-{number}", Permutation(pixels)))
    return changed(name, dataset, changes)


def changed(name: str, dataset: Dataset, changes: Sequence[tuple[str, Change | None]]) -> Scenario:
    """A scenario of all classes in every task, whose images are changed in each task in its way.

    Args:
        changes: the name of each task, and the change, or None for images as they are.
    """
    plain = _class_task(name, dataset, range(len(dataset.class_names)))
    return Scenario(
        name,
        tuple(
            Task(
                task,
                plain.classes,
                replace(plain.train, change=change),
                replace(plain.test, change=change),
            )
            for task, change in changes
        ),
    )


def load_own_scenario(path: Path, groups: str, *, task_count: int | None = None) -> Scenario:
    """A scenario of a person's own `.npz` file (see `simulators.own_data`).

    Args:
        groups: the labels of each task, as in ``"0,1/2,3/4,5"``; labels in no group are left out.
            The tasks are called ``labels-0-1``, ``labels-2-3`` and so on.
        task_count: only the first so many tasks.

    Raises:
        DataError: the file cannot be read, or an array is missing or unfit.
        SettingsError: the groups do not fit the file's labels, or are fewer.
    """
    from simulators.own_data import load_npz

    parsed = [
        [label.strip() for label in group.split(",") if label.strip()]
        for group in groups.split("/")
    ]
    count = _at_most(len(parsed), task_count, "--tasks")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)[:64]  # it begins every event id
    return split(name, load_npz(path), parsed[:count], "labels")


def _load(source: str, directory: Path) -> Dataset:
    match source:
        case "mnist":
            from simulators.mnist import load_mnist

            return load_mnist(directory)
        case "cifar10":
            from simulators.cifar import load_cifar10

            return load_cifar10(directory)
        case _:
            from simulators.digits import load_digits

            return load_digits()


def _name(prefix: str, group: Sequence[str]) -> str:
    name = "-".join([prefix, *group])
    return name if len(name) <= MAX_NAME_CHARACTERS else f"{prefix}-{group[0]}-to-{group[-1]}"


def _split_cifar(task_count: int, directory: Path) -> Scenario:
    from simulators.cifar import load_cifar10, load_cifar100

    tasks = [_class_task("cifar-10", load_cifar10(directory), range(10))]
    if task_count > 1:
        cifar100 = load_cifar100(directory)
        for first in range(0, 10 * (task_count - 1), 10):
            name = f"cifar-100-{first}-{first + 9}"
            tasks.append(_class_task(name, cifar100, range(first, first + 10)))
    return Scenario("split-cifar", tuple(tasks))


def _class_task(name: str, dataset: Dataset, labels: Sequence[int]) -> Task:
    train = _of_classes(dataset.train_images, dataset.train_labels, labels)
    if len(train) == 0:
        raise DataError(f"{dataset.name} has no training sample for task {name!r}: leave it out")
    test = _of_classes(dataset.test_images, dataset.test_labels, labels)
    return Task(name, tuple(dataset.class_names[label] for label in labels), train, test)


def _of_classes(images: Images, labels: Labels, chosen: Sequence[int]) -> SampleSet:
    local = np.full(max(int(labels.max(initial=0)), *chosen) + 1, -1, dtype=np.int64)
    local[list(chosen)] = np.arange(len(chosen))
    local_labels = local[labels]
    rows = np.flatnonzero(local_labels >= 0)
    return SampleSet(images, rows, local_labels[rows])


def _at_most(available: int, task_count: int | None, owner: str) -> int:
    if task_count is not None and task_count > available:
        raise SettingsError(f"{owner} has {available} tasks, not {task_count}: ask for fewer")
    return task_count or available
