"""Adam and gradient descent against PyTorch's own, and what is kept over a boundary."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from tests.learning.building import Batches, Build, Given

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"epsilon_placement": "after-correction"}, torch.optim.Adam),
        ({"kind": "sgd"}, torch.optim.SGD),
    ],
    ids=["adam", "sgd"],
)
def test_without_consolidation_it_is_pytorchs_own(
    build: Build, batches: Batches, ours: Given, theirs: Callable[..., torch.optim.Optimizer]
) -> None:
    learner, other = (build(optimiser=ours, consolidator={"kind": "none"}) for _ in range(2))
    other.open_heads(1)
    network = torch.nn.Sequential(other.trunk.module, other.heads[0].module)
    optimizer = theirs(network.parameters(), lr=0.01)
    for x, y in batches(50):
        learner.learn(x, y, head=0)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(network(x.double()), y))
        optimizer.step()
    torch.testing.assert_close(learner.trunk["weights"], other.trunk["weights"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("keep", "moments", "steps"),
    [("all", True, 5), ("step-count", False, 5), ("nothing", False, 0)],
)
def test_what_adam_keeps_over_a_boundary(
    build: Build, batches: Batches, keep: str, moments: bool, steps: int
) -> None:
    learner = build(optimiser={"keep_over_boundary": keep})
    for x, y in batches(5):
        learner.learn(x, y, head=0)
    learner.consolidate(head=0)
    for group in (learner.trunk, learner.heads[0]):
        assert group["first_moment"].any() == moments
        assert group["second_moment"].any() == moments
    assert learner.optimiser.steps == steps


def test_a_parameter_that_the_loss_does_not_reach_keeps_its_moments(
    build: Build, batches: Batches
) -> None:
    learner = build()
    learner.open_heads(2)
    for head in (0, 1):
        learner.learn(*batches(1)[0], head=head)
    before = learner.heads[0]["first_moment"].clone()
    assert before.any()
    learner.learn(*batches(1)[0], head=1)
    assert torch.equal(learner.heads[0]["first_moment"], before)
