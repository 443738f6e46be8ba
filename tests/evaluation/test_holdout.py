"""Holdout sets: bounded, never learned from, and the same for the same stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from si_stream.evaluation.holdout import Holdouts
from si_stream.evaluation.options import HoldoutOptions
from si_stream.learning.learner import Learner
from tests.streams import settings


def holdouts(**options: Any) -> Holdouts:
    return Holdouts(HoldoutOptions(**options))


def rows(count: int, first: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    numbers = np.arange(first, first + count)
    inputs = np.stack([numbers % 256, numbers // 256, 0 * numbers, 0 * numbers], axis=1)
    return inputs.astype(np.uint8), (numbers % 3).astype(np.int64)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_a_set_holds_the_first_samples_whatever_the_messages_size(size: int) -> None:
    sets = holdouts(capacity=37)
    for first in range(0, 100, size):
        sets.add("a", *rows(size, first))
    inputs, labels = rows(37)
    assert sets.sets["a"].inputs.tolist() == inputs.tolist()
    assert sets.sets["a"].labels.tolist() == labels.tolist()
    assert len(sets.sets["a"]) == 37


def test_a_set_is_a_copy_of_what_it_was_given() -> None:
    sets = holdouts()
    inputs, labels = rows(4)
    sets.add("a", inputs, labels)
    inputs[:], labels[:] = 9, 9
    assert sets.sets["a"].labels.tolist() == [0, 1, 2, 0]
    assert sets.sets["a"].inputs[:, 0].tolist() == [0, 1, 2, 3]


def test_a_set_from_a_checkpoint_goes_on_growing_and_leaves_it_as_it_was() -> None:
    first = holdouts()
    first.add("a", *rows(5))
    resumed = holdouts()
    resumed.sets = dict(first.sets)
    resumed.add("a", *rows(4, 5))
    assert resumed.sets["a"].inputs[:, 0].tolist() == list(range(9))
    assert len(first.sets["a"]) == 5


@pytest.mark.parametrize("back_to", [5, 0])
def test_sets_that_are_put_back_leave_what_came_since_as_it_was(back_to: int) -> None:
    sets = holdouts()
    sets.add("a", *rows(5))
    before = dict(sets.sets) if back_to else {}
    sets.add("a", *rows(3, 5))
    undone = sets.sets["a"]
    sets.sets = before
    sets.add("a", *rows(3, 100))
    again = [*range(back_to), 100, 101, 102]
    assert sets.sets["a"].inputs[:, 0].tolist() == again
    assert undone.inputs[:, 0].tolist() == list(range(8))
    assert undone.labels.tolist() == [number % 3 for number in range(8)]


def test_samples_are_diverted_by_their_bytes_alone() -> None:
    sets = holdouts(source="divert", share=0.25)
    inputs, _ = rows(2000)
    chosen = sets.diverts(inputs)
    assert chosen is not None
    assert 400 < chosen.sum() < 600
    order = np.random.default_rng(0).permutation(2000)
    again = holdouts(source="divert", share=0.25).diverts(np.asfortranarray(inputs[order]))
    assert again is not None
    assert np.array_equal(again, chosen[order])


@pytest.mark.parametrize("source", ["messages", "off"])
def test_nothing_is_diverted_unless_asked_for(source: str) -> None:
    assert holdouts(source=source).diverts(rows(3)[0]) is None


def test_the_whole_set_is_answered_in_its_order_and_no_weight_is_changed() -> None:
    chosen = settings()
    learner = Learner(chosen.model, chosen.optimiser, chosen.consolidator, chosen.compute)
    learner.open_heads(1)
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    sets = holdouts(capacity=3000)
    inputs, labels = rows(2500)
    sets.add("a", inputs, labels)
    answers = sets.evaluate(learner, "a", head=0)
    predicted = learner.predict(torch.from_numpy(inputs), head=0).argmax(1).numpy()
    assert answers is not None
    assert answers.right.tolist() == (predicted == labels).tolist()
    assert 0 < answers.accuracy < 1
    after = learner.state()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_task_without_a_set_has_no_answers() -> None:
    chosen = settings()
    learner = Learner(chosen.model, chosen.optimiser, chosen.consolidator, chosen.compute)
    assert holdouts().evaluate(learner, "a", head=0) is None
