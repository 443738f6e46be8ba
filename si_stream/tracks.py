"""A track: a learner and what is measured of it. The main one has a shadow where that is asked for.

Invariant: the tallies are running totals added up batch by batch, so how often they are read
changes no bit of them.
"""

from __future__ import annotations

import torch

from si_stream.batches import Batch
from si_stream.boundaries.tasks import Task
from si_stream.evaluation.answers import Answers
from si_stream.evaluation.holdout import Holdouts
from si_stream.evaluation.measures import Measures
from si_stream.evaluation.options import PlasticityOptions
from si_stream.evaluation.prequential import Tested
from si_stream.learning.learner import Learned, Learner

MAIN, SHADOW = "main", "shadow"
DEFAULT_PLASTICITY = PlasticityOptions()


class Track:
    def __init__(
        self, name: str, learner: Learner, plasticity: PlasticityOptions = DEFAULT_PLASTICITY
    ) -> None:
        self.name = name
        self.learner = learner
        self.first_samples = plasticity.first_samples
        self.measures = Measures(consolidator=learner.consolidator.name)
        self._task: str | None = None
        self._tested = Tested()
        self._unread: list[Learned] = []
        self.latest: Learned | None = None

    def learn(self, batch: Batch) -> bool:
        """Test and train; False where the loss or a gradient was not finite, and nothing came
        of it."""
        if batch.task.name != self._task:
            self._turn_to(batch.task.name)
        learned = self.learner.learn(batch.inputs, batch.labels, batch.task.head)
        self.latest = learned
        if learned.finite:
            self._unread.append(learned)
        return learned.finite

    def read_tally(self) -> Tested:
        """The active task's prequential totals, brought up to date; now and then, lest the unread
        pile up."""
        if self._unread:
            losses = torch.stack([learned.loss for learned in self._unread]).tolist()
            wrong = torch.cat([learned.wrong_B for learned in self._unread])
            for loss, learned in zip(losses, self._unread, strict=True):
                self._tested.loss += loss * learned.wrong_B.numel()
            self._count_early(wrong)
            self._tested.wrong += int(wrong.sum())
            self._tested.samples += wrong.numel()
            self._unread.clear()
        return self._tested

    def tested(self, task: Task) -> Tested:
        """A task's prequential totals, also those of before a resume."""
        self.read_tally()
        return self.measures.prequential.tasks.get(task.name, Tested())

    def consolidate(self, task: Task) -> None:
        self.read_tally()
        self.learner.consolidate(task.head)

    def evaluate(self, task: Task, holdouts: Holdouts, step: int) -> Answers | None:
        """Measure one task's holdout accuracy now."""
        answers = holdouts.evaluate(self.learner, task.name, task.head)
        if answers is not None:
            self.measures.live[task.name] = self.measures.live_of(task.number, answers, step)
        return answers

    def add_row(self, row: list[Answers | None], trained: Task) -> None:
        """What every task's holdout shows at the end of one, which may be its first."""
        measures, number = self.measures, trained.number
        is_new = number not in measures.accuracy.learned
        measures.add_row(row, number)
        if is_new:
            learned = measures.accuracy.learned[number]
            figures = (self.tested(trained), learned, self.first_samples)
            measures.plasticity.end(trained.name, *figures)

    def resume(self, measures: Measures) -> None:
        """Take over the measures of a checkpoint; the learner loads its own state."""
        self.measures = measures
        self._unread.clear()
        self._task = None

    def _count_early(self, wrong: torch.Tensor) -> None:
        """Those of the next errors ``[n]`` that are among the task's first ones.

        They are not where some before them were not: in a measurement that began in mid-task.
        """
        tested = self._tested
        if (
            tested.early_samples == tested.samples
            and self._task not in self.measures.plasticity.tasks
        ):
            early = wrong[: self.first_samples - tested.early_samples]
            tested.early_wrong += int(early.sum())
            tested.early_samples += early.numel()

    def _turn_to(self, task: str) -> None:
        self.read_tally()
        self._tested = self.measures.prequential.tasks.setdefault(task, Tested())
        self._task = task
