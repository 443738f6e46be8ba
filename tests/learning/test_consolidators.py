"""What every consolidator promises; a new one is covered by its name in the options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest
import torch
from torch import Tensor

from si_stream.learning.consolidators import build_consolidator
from si_stream.learning.kernels.interface import SgdStep
from si_stream.learning.kernels.plain import PlainKernel
from si_stream.learning.learner import Learner
from si_stream.learning.options import ConsolidatorOptions, ModelOptions
from si_stream.learning.parameters import WEIGHTS
from tests.learning.building import Batches, Build, Given

KINDS = get_args(ConsolidatorOptions.model_fields["kind"].annotation)
PENALISING = ("synaptic-intelligence", "ewc", "online-ewc")
A_REFERENCE_A_TASK = ("ewc",)  # so the penalties of old tasks stay when another has ended

every_consolidator = pytest.mark.parametrize("kind", KINDS)


def copy_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def after_two_tasks(build: Build, batches: Batches, kind: str, **settings: Given) -> Learner:
    """A learner that has consolidated one task and is in the middle of the second."""
    consolidator = {"kind": kind, "strength": 2.0} | settings.pop("consolidator", {})
    learner = build(consolidator=consolidator, **settings)
    for task in range(2):
        for x, y in batches(10, task):
            learner.learn(x, y, head=0)
        if task == 0:
            learner.consolidate(head=0)
    return learner


@every_consolidator
def test_it_carries_its_name(kind: str) -> None:
    options = ConsolidatorOptions.model_validate({"kind": kind})
    model = ModelOptions(input_shape=(6,), outputs=3)
    assert build_consolidator(options, model, torch.device("cpu")).name == kind


@pytest.mark.parametrize("decay", [0.0, 0.5])
@every_consolidator
def test_consolidating_again_without_training_changes_nothing(
    build: Build, batches: Batches, kind: str, decay: float
) -> None:
    learner = after_two_tasks(build, batches, kind, consolidator={"decay": decay})
    learner.consolidate(head=0)
    once = copy_of(learner.state())
    learner.consolidate(head=0)
    assert same(learner.state(), once)


@every_consolidator
def test_consolidating_moves_no_weight(build: Build, batches: Batches, kind: str) -> None:
    learner = after_two_tasks(build, batches, kind)
    before = learner.trunk[WEIGHTS].clone()
    learner.consolidate(head=0)
    assert torch.equal(learner.trunk[WEIGHTS], before)


@every_consolidator
def test_a_learner_goes_on_from_its_state_bit_for_bit_wherever_it_was_saved(
    build: Build, batches: Batches, kind: str
) -> None:
    given = {"kind": kind, "strength": 2.0, "fisher_samples": 20}  # of 48, so some are replaced
    stream = [(x, y, task) for task in range(3) for x, y in batches(3, task)]

    def learn(learner: Learner, first: int) -> list[dict[str, Tensor]]:
        states = [copy_of(learner.state())]
        for step, (x, y, task) in enumerate(stream[first:], first):
            learner.learn(x, y, head=task % 2)
            if (step + 1) % 3 == 0:
                learner.consolidate(head=task % 2)
            states.append(copy_of(learner.state()))
        return states

    states = learn(build(consolidator=given), 0)
    for step, saved in enumerate(states):
        other = build(consolidator=given)
        for x, y in batches(2, 3):  # of another life
            other.learn(x, y, head=0)
        other.consolidate(head=0)
        other.load_state(saved)
        again = learn(other, step)
        assert all(same(*pair) for pair in zip(again, states[step:], strict=True))


@every_consolidator
def test_the_surrogate_loss_is_never_negative_and_nought_where_the_reference_is_the_newest(
    build: Build, batches: Batches, kind: str
) -> None:
    learner = after_two_tasks(build, batches, kind)
    assert learner.surrogate_loss(head=0) >= 0
    before = learner.surrogate_loss(head=0)
    assert (before > 0) == (kind in PENALISING)
    learner.consolidate(head=0)
    if kind in A_REFERENCE_A_TASK:
        assert 0 < learner.surrogate_loss(head=0) < before
    else:
        assert learner.surrogate_loss(head=0) == 0


@pytest.mark.usefixtures("float64")
@every_consolidator
def test_the_kernel_adds_the_gradient_of_the_surrogate_loss(
    build: Build, batches: Batches, kind: str
) -> None:
    learner = after_two_tasks(build, batches, kind)
    for group in (learner.trunk, learner.heads[0]):
        weights = group[WEIGHTS].requires_grad_()
        loss = learner.consolidator.surrogate_loss(group) + 0 * weights.sum()
        (expected,) = torch.autograd.grad(loss, weights)
        weights.requires_grad_(False)
        before = weights.clone()
        for piece in group.pieces:
            synapses = learner.consolidator.synapses(piece)
            none = torch.zeros_like(synapses.weights)
            PlainKernel().sgd(synapses, none, SgdStep(rate=1.0), learner.consolidator.strength)
        torch.testing.assert_close(before - weights, expected, rtol=1e-9, atol=1e-12)
        assert expected.any() == (kind in PENALISING)


@every_consolidator
def test_the_first_task_is_learned_as_without_any(
    build: Build, batches: Batches, kind: str, device: str
) -> None:
    learners = [
        build(consolidator={"kind": k, "strength": 5.0}, compute={"device": device})
        for k in (kind, "none")
    ]
    for x, y in batches(20, 0):
        for learner in learners:
            learner.learn(x, y, head=0)
    one, none = learners
    rounding = 0 if device == "cpu" else 1e-6  # two programs for a GPU may round otherwise
    for here, there in ((one.trunk, none.trunk), (one.heads[0], none.heads[0])):
        torch.testing.assert_close(here[WEIGHTS], there[WEIGHTS], rtol=0, atol=rounding)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_the_second_task_is_learned_otherwise_than_without(
    build: Build, batches: Batches, kind: str, device: str
) -> None:
    one, none = (
        after_two_tasks(build, batches, k, compute={"device": device}) for k in (kind, "none")
    )
    assert not torch.allclose(one.trunk[WEIGHTS], none.trunk[WEIGHTS], atol=1e-3)
    assert one.trunk[WEIGHTS].isfinite().all()
