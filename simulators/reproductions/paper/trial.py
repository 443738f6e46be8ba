"""A run of an arm: the stream learned, every task tested at each boundary, and the record of it.

Invariant: what is tested changes no bit of what is learned; of an arm that a strength is chosen by,
the test set is not read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

from pydantic import Field

from si_stream.brokers.interface import Envelope
from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.learning.presets import PRESETS
from si_stream.settings import Settings
from simulators.options import ReplayOptions
from simulators.replay import envelopes, sample_count
from simulators.reproductions import groups
from simulators.reproductions.course import Course
from simulators.reproductions.machine import commit, made_on, versions
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import (
    CONSOLIDATORS,
    DROPOUT,
    DROPOUT_SHARE,
    JOINT,
    NONE,
    SCRATCH,
    Benchmark,
)
from simulators.reproductions.paper.importance import Importance, observe
from simulators.reproductions.paper.mixed import mixed
from simulators.reproductions.paper.relu_by_task import with_relu_by_task
from simulators.reproductions.paper.variations import RELU_BY_TASK, VARIATIONS
from simulators.reproductions.recipe import Recipe
from simulators.reproductions.records import Part, Record
from simulators.scenarios import Scenario, Task

HELD_BACK = 10  # the last of so many training samples of a task, for a choice of the strength


class Row(Part):
    """Accuracies at a boundary, 0 to 1, by task: those begun so far, on all their samples.

    ``after`` is the task that has ended. One of test and validation is empty.
    """

    after: str
    test: dict[str, float] = Field(default_factory=dict)
    validation: dict[str, float] = Field(default_factory=dict)
    train: dict[str, float]

    @property
    def accuracy(self) -> dict[str, float]:
        """On samples that were not learned."""
        return self.test or self.validation


class PaperRecord(Record):
    """A run. Of joint training there is one row, at the end; from scratch each row is that of
    another network and has its own task alone."""

    method: str
    strength: float | None
    variation: str | None = None
    epochs: int
    tasks: list[str]
    samples: int
    rows: list[Row]
    importance: Importance | None = None  # of a sequence under Synaptic Intelligence, also of c = 0

    @property
    def final(self) -> dict[str, float]:
        """Of each task, at the last boundary at which it was tested."""
        return {task: value for row in self.rows for task, value in row.accuracy.items()}

    @property
    def final_train(self) -> dict[str, float]:
        return {task: value for row in self.rows for task, value in row.train.items()}

    @property
    def curve(self) -> list[float]:
        """After each task, the mean over those learned so far; empty where none follows another."""
        return [mean(row.accuracy.values()) for row in self.rows] if self.is_sequence else []

    @property
    def is_sequence(self) -> bool:
        """Whether one network has learned one task after the other."""
        return self.method not in (JOINT, SCRATCH)

    @property
    def matrix(self) -> AccuracyMatrix:
        """Of a sequence."""
        matrix = AccuracyMatrix()
        for number, row in enumerate(self.rows):
            matrix.append([row.accuracy.get(task) for task in self.tasks[: number + 1]], number)
        return matrix


def decided_by(benchmark: Benchmark, arm: Arm, seed: int, device: str = "auto") -> dict[str, Any]:
    """All that decides a run, as it stands in its record."""
    stream = recipe(benchmark, arm)
    stream = stream.model_copy(update={"replay": stream.options(seed, "announced")})
    return {
        "stream": stream.model_dump(mode="json"),
        "learner": groups.groups_of(learner(benchmark, arm, seed, device)),
        "method": arm.method,
        "validation": arm.validation,
        "variation": arm.variation,
    }


def defaults() -> dict[str, Any]:
    """Of what `decided_by` tells."""
    usual = Recipe(data="split-mnist").model_dump(mode="json")
    learner = groups.groups_of(Settings())
    return {"stream": usual, "learner": learner, "validation": False, "variation": None}


def recipe(benchmark: Benchmark, arm: Arm) -> Recipe:
    replay = ReplayOptions(epochs_per_task=arm.epochs, holdout=False)
    return Recipe(
        data=benchmark.name, task_count=arm.tasks, samples_per_task=arm.samples, replay=replay
    )


def learner(benchmark: Benchmark, arm: Arm, seed: int, device: str = "auto") -> Settings:
    """The preset's settings with this method in the place of its consolidator.

    Raises:
        SettingsError: this version has no such setting.
    """
    chosen = {**PRESETS[benchmark.name], "holdout": {"source": "off"}}
    if arm.strength is not None:
        given = {"kind": arm.method, "strength": arm.strength}
        chosen["consolidator"] = {**chosen["consolidator"], **given}
    elif arm.method == NONE:  # as the authors ran it: ω is measured, and nothing pulls
        chosen["consolidator"] = {**chosen["consolidator"], "strength": 0.0}
    else:
        chosen["consolidator"] = {"kind": arm.method if arm.method in CONSOLIDATORS else NONE}
    if arm.method == DROPOUT:
        model = chosen["model"]
        network = {**model["network"], "hidden_dropout": DROPOUT_SHARE}
        chosen["model"] = {**model, "network": network}
    if arm.method == JOINT:  # a batch of another task is no boundary to it
        chosen["boundaries"] = {"mode": "task-name"}
        chosen["optimiser"] = {**chosen["optimiser"], "keep_over_boundary": "all"}
    if arm.variation is not None:
        chosen = nested(chosen, VARIATIONS[arm.variation].settings)
    return groups.settings_of(chosen, seed, device, f"method {arm.method}")


def run_arm(
    benchmark: Benchmark,
    arm: Arm,
    seed: int,
    *,
    device: str = "auto",
    progress: Callable[[float], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> PaperRecord:
    """Learn the tasks, and test them.

    Args:
        progress: is told which share of the run is done.
        stop: asked after each batch.

    Raises:
        Stopped: as it was asked for.
        SIStreamError: data or settings are no good.
    """
    started, code = time.monotonic(), commit()
    settings, made = learner(benchmark, arm, seed, device), recipe(benchmark, arm)
    scenario, replay = made.scenario(seed), made.options(seed, "announced")
    if arm.validation:
        scenario = held_back(scenario)
    samples, before = sample_count(scenario, replay), 0
    rows: list[Row] = []
    importance: Importance | None = None

    def live(stream: Iterator[Envelope], tasks: tuple[Task, ...]) -> Course:
        """A learner's life; it is tested at its boundaries if it is told any."""
        nonlocal before, importance

        def tested(ended: str) -> None:
            if arm.method != JOINT:
                begun = [task.name for task in tasks].index(ended) + 1
                rows.append(_row(course, tasks[:begun], ended, arm))

        course = Course(
            stream,
            settings,
            progress=lambda learned: progress((before + learned) / samples),
            at_boundary=tested,
            stop=stop,
        )
        if arm.variation == RELU_BY_TASK:
            with_relu_by_task(course.state.main.learner)
        observer = observe(course.state.main.learner, tasks) if len(tasks) > 1 else None
        course.learn()
        importance = observer.found() if observer else None
        before += course.state.ledger.samples
        return course

    if arm.method == SCRATCH:
        courses = [
            live(envelopes(replace(scenario, tasks=(task,)), replay), (task,))
            for task in scenario.tasks
        ]
        course = courses[-1]
    elif arm.method == JOINT:
        model = settings.model
        stream = mixed(
            scenario,
            epochs=arm.epochs,
            batch_size=model.batch_size,
            shared_head=model.heads == "shared",
            seed=seed,
        )
        course = live(stream, scenario.tasks)
        rows.append(_row(course, scenario.tasks, scenario.tasks[-1].name, arm))
    else:
        course = live(envelopes(scenario, replay), scenario.tasks)
    return PaperRecord(
        scenario=arm.name(benchmark),
        seed=seed,
        settings=decided_by(benchmark, arm, seed, device),
        versions=versions(),
        commit=code,
        **made_on(course.state),
        seconds=round(time.monotonic() - started, 1),
        method=arm.method,
        strength=arm.strength,
        variation=arm.variation,
        epochs=arm.epochs,
        tasks=[task.name for task in scenario.tasks],
        samples=before,
        rows=rows,
        importance=importance,
    )


def nested(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with others in their place, group by group.

    >>> nested({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    return {**values} | {
        name: nested(values.get(name, {}), other) if isinstance(other, Mapping) else other
        for name, other in others.items()
    }


def held_back(scenario: Scenario) -> Scenario:
    """The last tenth of each task's training samples in the place of its test set."""
    return replace(scenario, tasks=tuple(_held_back(task) for task in scenario.tasks))


def _held_back(task: Task) -> Task:
    train, first = task.train, len(task.train) - len(task.train) // HELD_BACK
    kept, held = (
        replace(train, rows=train.rows[part], labels=train.labels[part])
        for part in (slice(first), slice(first, None))
    )
    return replace(task, train=kept, test=held)


def _row(course: Course, tasks: tuple[Task, ...], after: str, arm: Arm) -> Row:
    shared = course.state.settings.model.heads == "shared"
    heads = {task.name: 0 if shared else course.head_of(task.name) for task in tasks}
    test = {task.name: course.accuracy(task.test, heads[task.name]) for task in tasks}
    train = {task.name: course.accuracy(task.train, heads[task.name]) for task in tasks}
    return Row(after=after, train=train, **{"validation" if arm.validation else "test": test})
