"""The Fisher diagonal against its formula, written out sample by sample and label by label."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from si_stream.learning.fisher import diagonal_fisher
from si_stream.learning.learner import Learner
from si_stream.learning.networks import scaled
from tests.learning.building import Batches, Build, Given

pytestmark = pytest.mark.usefixtures("float64")

CNN: Given = {
    "input_shape": (2, 14, 14),
    "network": {"kind": "cifar-cnn", "head_initialisation": "glorot-uniform"},
}
NETWORKS = {"mlp": {}, "cifar-cnn": CNN, "open labels": {"labels": "open", "outputs": 0}}

every_network = pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS.keys())


def expectation(learner: Learner, x: Tensor, head: int, labels: list[int]) -> list[Tensor]:
    """E_x Σ_c p_c g_c² with g_c the gradient of the cross-entropy of label c, per parameter."""
    parameters = [
        piece.parameter for group in (learner.trunk, learner.heads[head]) for piece in group.pieces
    ]
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    learner.trunk.module.eval()
    for row in scaled(x, learner.device):
        logits = learner.heads[head].module(learner.trunk.module(row[None]))[:, labels]
        for place in range(len(labels)):
            probability = logits.detach().softmax(1)[0, place]
            loss = functional.cross_entropy(logits, torch.tensor([place]))
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
            for total, gradient in zip(sums, gradients, strict=True):
                total.add_(probability * gradient.square() / len(x))
    learner.trunk.module.train()
    return sums


def measured(learner: Learner, x: Tensor, head: int) -> list[Tensor]:
    groups = (learner.trunk, learner.heads[head])
    found = diagonal_fisher(groups, x, lambda rows: learner._log_probabilities(rows, head))
    return [
        fisher[piece.start : piece.start + piece.size].view(piece.parameter.shape)
        for group, fisher in zip(groups, found, strict=True)
        for piece in group.pieces
    ]


@every_network
def test_it_is_the_expectation_over_samples_and_the_networks_own_labels(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model, optimiser={"learning_rate": 0.003})
    data = batches(4, shape=model.get("input_shape", (6,)), size=5)
    for x, y in data:
        learner.learn(x, y, head=1)
    expected = expectation(learner, data[0][0], 1, labels=[0, 1, 2])
    found = measured(learner, data[0][0], 1)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one[: len(other)], other, rtol=1e-9, atol=1e-15)
    assert all(one.any() for one in found)


@every_network
def test_measuring_changes_nothing_and_draws_no_number(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model)
    x, y = batches(1, shape=model.get("input_shape", (6,)), size=4)[0]
    learner.learn(x, y, head=0)
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    numbers = torch.get_rng_state()
    first = measured(learner, x, 0)
    assert all(map(torch.equal, first, measured(learner, x, 0)))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.state().items())
    assert learner.trunk.module.training
    assert all(piece.parameter.grad is None for piece in learner.trunk.pieces)


def test_of_logistic_regression_it_is_the_closed_form(build: Build, batches: Batches) -> None:
    """With softmax weights alone: F of the weight (c, f) is E_x p_c (1 - p_c) x_f²."""
    learner = build({"network": {"hidden": (), "head_initialisation": "glorot-uniform"}})
    x, y = batches(1, size=30)[0]
    learner.learn(x, y, head=0)
    p = learner.predict(x, head=0).softmax(1)
    weight, bias = measured(learner, x, 0)
    spread = p * (1 - p)
    torch.testing.assert_close(weight, spread.T @ x.square() / len(x))
    torch.testing.assert_close(bias, spread.mean(0))
