"""Tracks: what is tallied does not depend on when it is read."""

from __future__ import annotations

import torch

from si_stream.batches import Batch
from si_stream.boundaries.tasks import Task
from si_stream.learning.learner import Learner
from si_stream.merging import Cursor
from si_stream.tracks import MAIN, Track
from tests.streams import samples, settings

A, B = (Task(name=name, number=n, head=n) for n, name in enumerate("ab"))


def track() -> Track:
    chosen = settings()
    return Track(MAIN, Learner(chosen.model, chosen.optimiser, chosen.consolidator, chosen.compute))


def batch(task: Task, number: int, size: int = 8) -> Batch:
    made = samples(size, 8 * number)
    return Batch(task, torch.tensor(made.inputs), torch.tensor(made.labels), Cursor({}))


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


def test_a_batch_is_tested_before_it_is_learned() -> None:
    one = track()
    first = batch(A, 0)
    one.learner.open_heads(1)
    wrong = int((one.learner.predict(first.inputs, 0).argmax(1) != first.labels).sum())
    one.learn(first)
    assert one.read_tally().wrong == wrong
