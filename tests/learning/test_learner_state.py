"""A learner's state: it goes on from one bit for bit, and refuses those of others."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor

from si_stream.learning.frozen import FrozenNetwork, weights_of
from tests.learning.building import (
    NETWORKS,
    WIDE,
    Batches,
    Build,
    Given,
    batches_for,
    copy_of,
    every_network,
    learn,
    same,
)

pytestmark = pytest.mark.usefixtures("own_trunks")


@every_network
def test_a_learner_goes_on_from_its_state_bit_for_bit(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model)
    for task in range(2):
        learn(learner, batches_for(batches, model, 4, task), head=task)
        learner.consolidate(head=task)
    learn(learner, batches_for(batches, model, 3, 2), head=1)
    saved = copy_of(learner)

    other = build(model)
    learn(other, batches_for(batches, model, 2, 3), head=0)
    other.load_state(saved)
    assert same(copy_of(other), saved)
    for one in (learner, other):
        learn(one, batches_for(batches, model, 4, 4), head=2)
        one.consolidate(head=2)
    assert same(copy_of(other), copy_of(learner))
    assert not same(copy_of(other), saved)


@pytest.mark.parametrize("kernel", ["numba", "plain"])
def test_heads_that_are_taken_away_again_and_again_leave_nothing_behind(
    build: Build, batches: Batches, kernel: str
) -> None:
    learner, once = (build(compute={"kernel": kernel}) for _ in range(2))
    learn(learner, batches(2), head=0)
    before, alive = copy_of(learner), list[int]()
    for _ in range(5):
        learn(learner, batches(2), head=1)
        learner.load_state(before)
        gc.collect()
        alive.append(sum(type(one) is Tensor for one in gc.get_objects()))
    assert alive == alive[:1] * 5
    learn(once, batches(2), head=0)
    for one in (learner, once):
        learn(one, batches(3), head=1)
    assert same(copy_of(learner), copy_of(once))


@pytest.mark.parametrize("missing", ["trunk.weights", "optimiser.steps", "random.dropout"])
def test_a_state_that_lacks_something_is_refused_and_changes_nothing(
    build: Build, batches: Batches, missing: str
) -> None:
    learner = build()
    learn(learner, batches(2), head=0)
    before = copy_of(learner)
    state = {name: tensor + 1 for name, tensor in before.items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        build().load_state(state)
    with pytest.raises(ValueError, match=missing):
        learner.load_state(state)
    assert same(copy_of(learner), before)


def test_the_state_of_another_network_is_refused(build: Build) -> None:
    with pytest.raises(ValueError, match=r"trunk\.weights: expected"):
        build().load_state(build({"network": {"hidden": (9, 9)}}).state())


@pytest.mark.parametrize(
    ("model", "size"),
    [*((model, 16) for model in NETWORKS.values()), (WIDE, 16), (WIDE, 64)],
    ids=[*NETWORKS, "wide mlp, few rows", "wide mlp, many rows"],
)
def test_a_frozen_network_answers_as_the_learner_does(
    build: Build, batches: Batches, model: Given, size: int
) -> None:
    learner = build(model)
    for head in range(2):
        learn(learner, batches_for(batches, model, 4, head), head)
    frozen = FrozenNetwork(learner.model, weights_of(copy_of(learner)))
    x, _ = batches_for(batches, model, 1, size=size)[0]
    for head in range(2):
        expected = torch.softmax(learner.predict(x, head), 1)
        assert torch.equal(torch.from_numpy(frozen.probabilities(x.numpy(), head)), expected)
