"""Tracks: what is tallied does not depend on when it is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from si_stream.batches import Batch
from si_stream.boundaries.tasks import Task
from si_stream.evaluation.answers import Answers
from si_stream.evaluation.measures import Measures
from si_stream.learning.learner import Learner
from si_stream.merging import Cursor
from si_stream.tracks import MAIN, Track
from tests.streams import samples, settings

A, B = (Task(name=name, number=n, head=n) for n, name in enumerate("ab"))


def track(**plasticity: int) -> Track:
    chosen = settings(plasticity=plasticity)
    learner = Learner(chosen.model, chosen.optimiser, chosen.consolidator, chosen.compute)
    return Track(MAIN, learner, chosen.plasticity)


def batch(task: Task, number: int, size: int = 8) -> Batch:
    made = samples(size, 8 * number)
    return Batch(task, torch.tensor(made.inputs), torch.tensor(made.labels), Cursor({}))


def answers(right: int) -> Answers:
    """So many of ten."""
    return Answers(np.arange(10) < right)


def test_how_often_the_tally_is_read_changes_nothing() -> None:
    often, once = track(), track()
    for number in range(12):
        for one in (often, once):
            one.learn(batch(A, number, size=1 + number % 8))
        often.read_tally()
    assert often.read_tally() == once.read_tally()
    assert often.measures == once.measures
    assert once.read_tally().samples == sum(1 + n % 8 for n in range(12))


def test_each_task_has_a_tally_of_its_own_and_goes_on_with_it_when_it_comes_again() -> None:
    one, alone = track(), track()
    for number, task in enumerate([A, B, A]):
        one.learn(batch(task, number))
        one.consolidate(task)
    alone.learn(batch(A, 0))
    tasks = one.measures.prequential.tasks
    assert [tasks["a"].samples, tasks["b"].samples] == [16, 8]
    assert tasks["a"].loss > alone.read_tally().loss > 0


def test_of_a_task_the_first_samples_are_counted_however_they_are_batched_and_read() -> None:
    often, once = track(first_samples=21), track(first_samples=21)
    errors: list[bool] = []
    for number in range(12):
        for one in (often, once):
            one.learn(batch(A, number, size=1 + number % 8))
        assert once.latest is not None
        errors += once.latest.wrong_B.tolist()
        often.read_tally()
    for one in (often, once):
        tally = one.read_tally()
        assert (tally.early_samples, tally.early_wrong) == (21, sum(errors[:21]))
    assert 0 < sum(errors[:21]) < sum(errors)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_the_first_samples_are_the_same_where_it_stopped_among_them(cut: int) -> None:
    whole, parts = track(first_samples=21), track(first_samples=21)
    for number in range(6):
        for one in (whole, parts):
            one.learn(batch(A, number))
        if number == cut - 1:
            parts.read_tally()
            parts.resume(Measures.model_validate_json(parts.measures.model_dump_json()))
    assert whole.read_tally() == parts.read_tally()


def test_a_task_counts_when_it_first_ends_and_not_when_it_comes_again() -> None:
    one = track(first_samples=16)
    kept = []
    for number, task in enumerate([A, B, A, B]):
        for part in range(2 + number):
            one.learn(batch(task, 10 * number + part))
        one.consolidate(task)
        one.add_row([answers(5 + number), *[answers(6)][:number]], task)
        kept.append(one.measures.copied().plasticity)
    assert [*kept[1].tasks] == ["a", "b"]
    assert kept[3] == kept[2] == kept[1] != kept[0]
    assert [first.learned for first in kept[3].tasks.values()] == [0.5, 0.6]


def test_a_task_that_ended_early_is_not_completed_when_it_comes_again() -> None:
    one = track(first_samples=64)
    for number, task in enumerate([A, B, A]):
        one.learn(batch(task, number))
        one.consolidate(task)
        one.add_row([None, *[None][:number]], task)
    tallies = one.measures.prequential.tasks
    assert (tallies["a"].samples, tallies["a"].early_samples) == (16, 8)


def test_a_batch_is_tested_before_it_is_learned() -> None:
    one = track()
    first = batch(A, 0)
    one.learner.open_heads(1)
    wrong = int((one.learner.predict(first.inputs, 0).argmax(1) != first.labels).sum())
    one.learn(first)
    assert one.read_tally().wrong == wrong
