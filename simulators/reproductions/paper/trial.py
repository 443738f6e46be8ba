"""A run of an arm: the stream learned, every task tested at each boundary, and the record of it.

Invariant: what is tested changes no bit of what is learned; of an arm that a strength is chosen by,
the test set is not read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from si_stream.brokers.interface import Envelope
from si_stream.checkpoints.copies import device_name
from si_stream.learning.learner import choose_device
from simulators.replay import envelopes, sample_count
from simulators.reproductions.course import Course
from simulators.reproductions.jobs import Stopped
from simulators.reproductions.machine import code, commit, made_on, versions
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import (
    JOINT,
    SCRATCH,
    Benchmark,
)
from simulators.reproductions.paper.importance import (
    Importance,
    ObservedIntelligence,
    observe,
)
from simulators.reproductions.paper.mixed import mixed
from simulators.reproductions.paper.record import PaperRecord, Row
from simulators.reproductions.paper.relu_by_task import with_relu_by_task
from simulators.reproductions.paper.settings import decided_by, learner, recipe
from simulators.reproductions.paper.unfinished import SoFar, Unfinished, write
from simulators.reproductions.paper.variations import RELU_BY_TASK
from simulators.scenarios import Scenario, Task

HELD_BACK = 10  # the last of so many training samples of a task, for a choice of the strength


def run_arm(
    benchmark: Benchmark,
    arm: Arm,
    seed: int,
    *,
    device: str = "auto",
    progress: Callable[[float], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    unfinished: Path | None = None,
    beginning: Path | None = None,
) -> PaperRecord:
    """Learn the tasks, and test them.

    Args:
        progress: is told which share of the run is done.
        stop: asked after each batch.
        unfinished: a file that it is kept in now and then, and when it is stopped; where there is
            one, it goes on from there.
        beginning: a file of `begin_arm`, for this arm until its first boundary; where there is one,
            it begins there.

    Raises:
        Stopped: as it was asked for.
        SIStreamError: data or settings are no good.
    """
    return _Run(benchmark, arm, seed, device, progress, stop, unfinished, beginning).record()


def begin_arm(
    benchmark: Benchmark,
    arm: Arm,
    seed: int,
    file: Path,
    *,
    device: str = "auto",
    progress: Callable[[float], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Learn the first task up to its last batch, and keep that for the arms that begin so.

    Where the task has one batch alone, no file is left: there is nothing to have in common.

    Args:
        file: to keep it in; where there is one, it goes on from there.
        progress: is told which share of that is done.
        stop: asked after each batch.

    Raises:
        Stopped: as it was asked for.
        SIStreamError: data or settings are no good.
    """
    learned = 0.0

    def note(share: float) -> None:
        nonlocal learned
        learned = share
        progress(share / last)

    run = _Run(benchmark, arm, seed, device, note, lambda: learned >= last or stop(), file)
    last = run.last_share_of_first_task
    if last == 0 or run.share_found >= last:
        return
    try:
        run.record()
    except Stopped:
        if learned < last:
            raise


class _Run:
    """One arm with one seed: a learner's life, or one for each task."""

    def __init__(
        self,
        benchmark: Benchmark,
        arm: Arm,
        seed: int,
        device: str,
        progress: Callable[[float], None],
        stop: Callable[[], bool],
        unfinished: Path | None,
        beginning: Path | None = None,
    ) -> None:
        self.benchmark, self.arm, self.seed = benchmark, arm, seed
        self.settings, made = learner(benchmark, arm, seed, device), recipe(benchmark, arm)
        self.decided = decided_by(benchmark, arm, seed, device)
        self.versions, self.commit, self.code = versions(), commit(), code()
        self.scenario, self.replay = made.scenario(seed), made.options(seed, "announced")
        if arm.validation:
            self.scenario = held_back(self.scenario)
        self.rows: list[Row] = []
        self.importance: Importance | None = None
        self.lives = self.samples = 0  # those that have ended, and what they have learned
        self._all_samples = sample_count(self.scenario, self.replay)
        self._progress, self._stop, self._path = progress, stop, unfinished
        self._started = time.monotonic()
        self._found = self._find(unfinished, beginning)
        if self._found is not None:
            so_far = self._found.so_far
            self.rows, self.lives, self.samples = so_far.rows, so_far.lives, so_far.samples
            self._started -= so_far.seconds

    @property
    def last_share_of_first_task(self) -> float:
        """Of the run, when all batches of its first task but the last are learned."""
        first = replace(self.scenario, tasks=self.scenario.tasks[:1])
        size = self.settings.model.batch_size
        batches = (sample_count(first, self.replay) - 1) // size
        return batches * size / self._all_samples

    @property
    def share_found(self) -> float:
        """Of the run, that was done before."""
        learned = self._found.so_far.ledger.samples if self._found else 0
        return (self.samples + learned) / self._all_samples

    def record(self) -> PaperRecord:
        arm, scenario = self.arm, self.scenario
        courses = [self._live(*life) for life in islice(self._to_live(), self.lives, None)]
        course = courses[-1]
        if arm.method == JOINT:
            self.rows.append(_row(course, scenario.tasks, scenario.tasks[-1].name, arm))
        return PaperRecord(
            scenario=arm.name(self.benchmark),
            seed=self.seed,
            settings=self.decided,
            versions=self.versions,
            commit=self.commit,
            **made_on(course.state),
            seconds=round(self._seconds(), 1),
            method=arm.method,
            strength=arm.strength,
            variation=arm.variation,
            epochs=arm.epochs,
            tasks=[task.name for task in scenario.tasks],
            samples=self.samples,
            rows=self.rows,
            importance=self.importance,
        )

    def _to_live(self) -> Iterator[tuple[Iterator[Envelope], tuple[Task, ...]]]:
        """Of each life the stream, and the tasks in it."""
        arm, scenario, replay = self.arm, self.scenario, self.replay
        if arm.method == SCRATCH:
            for task in scenario.tasks:
                yield envelopes(replace(scenario, tasks=(task,)), replay), (task,)
        elif arm.method == JOINT:
            model = self.settings.model
            stream = mixed(
                scenario,
                epochs=arm.epochs,
                batch_size=model.batch_size,
                shared_head=model.heads == "shared",
                seed=self.seed,
            )
            yield stream, scenario.tasks
        else:
            yield envelopes(scenario, replay), scenario.tasks

    def _live(self, stream: Iterator[Envelope], tasks: tuple[Task, ...]) -> Course:
        """A learner's life; it is tested at its boundaries if it is told any."""
        arm, found, self._found = self.arm, self._found, None

        def tested(ended: str) -> None:
            if arm.method != JOINT:
                begun = [task.name for task in tasks].index(ended) + 1
                self.rows.append(_row(course, tasks[:begun], ended, arm))

        course = Course(
            stream,
            self.settings,
            progress=lambda learned: self._progress((self.samples + learned) / self._all_samples),
            at_boundary=tested,
            stop=self._stop,
            save=lambda: self._keep(course, observer),
            resumed=found.learner if found else None,
        )
        if arm.variation == RELU_BY_TASK:
            with_relu_by_task(course.state.main.learner)
        observer = observe(course.state.main.learner, tasks) if len(tasks) > 1 else None
        if observer and found and found.so_far.importance:
            observer.go_on(found.omegas, found.so_far.importance)
        course.learn()
        self.importance = observer.found() if observer else None
        self.lives += 1
        self.samples += course.state.ledger.samples
        return course

    def _keep(self, course: Course, observer: ObservedIntelligence | None) -> None:
        if self._path is None:
            return
        so_far = SoFar(
            made=self._made(self.decided),
            seconds=self._seconds(),
            lives=self.lives,
            samples=self.samples,
            rows=self.rows,
            importance=observer.so_far() if observer else None,
            ledger=course.state.ledger,
            measures=course.state.measures(),
        )
        write(self._path, so_far, course.state, observer)

    def _find(self, unfinished: Path | None, beginning: Path | None) -> Unfinished | None:
        """Where it goes on: itself, or what it has in common with others."""
        common = self.arm.until_its_first_boundary()
        found = Unfinished.read(unfinished, self._made(self.decided)) if unfinished else None
        if found is None and beginning is not None and common is not None:
            decided = decided_by(self.benchmark, common, self.seed, self.settings.compute.device)
            found = Unfinished.read(beginning, self._made(decided))
        return found

    def _made(self, decided: dict[str, Any]) -> dict[str, Any]:
        """What has to be the same for a run to go on."""
        device = choose_device(self.settings.compute.device)
        return {
            "settings": decided,
            "versions": self.versions,
            "code": self.code,
            "device": device_name(device),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }

    def _seconds(self) -> float:
        """That it has taken, without the time in which it was stopped."""
        return time.monotonic() - self._started


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
