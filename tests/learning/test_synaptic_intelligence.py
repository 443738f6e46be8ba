"""Synaptic Intelligence against a second account of it, written the obvious slow way.

`Reference` shares nothing with the learner but the initial weights: the penalty stands in the
loss, the task's gradient and the whole one come from two backward passes, Δθ from copies of the
old parameters, Adam is written out as in the papers. Wrong accounts of it must be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from si_stream.learning.learner import Learner
from si_stream.learning.options import OptimiserOptions
from si_stream.learning.parameters import IMPORTANCE, PATH_INTEGRAL, REFERENCE, WEIGHTS
from tests.learning.building import Batches, Build, Given

C, XI = 5.0, 1e-3  # strong, so that the pull-back makes some ω negative
HEADS = (0, 1, 0)  # of the three tasks: the third comes back to the first's head
STEPS = 30
BUFFERS = (WEIGHTS, PATH_INTEGRAL, IMPORTANCE, REFERENCE)
MUTATIONS = ("penalised-omega", "relu-per-task", "stale-reference", "half-penalty")
Values = dict[str, Tensor]

pytestmark = pytest.mark.usefixtures("float64")


class Reference:
    def __init__(self, learner: Learner, options: OptimiserOptions, mutation: str | None) -> None:
        self.options, self.mutation = options, mutation
        groups = {"trunk": learner.trunk, "head0": learner.heads[0], "head1": learner.heads[1]}
        self.theta: Values = {
            f"{part}.{piece.name}": piece.parameter.detach().clone()
            for part, group in groups.items()
            for piece in group.pieces
        }
        self.anchor = {name: theta.clone() for name, theta in self.theta.items()}
        self.omega, self.importance, self.m, self.v = (
            {name: torch.zeros_like(theta) for name, theta in self.theta.items()} for _ in range(4)
        )
        self.t = 0

    def step(self, x: Tensor, y: Tensor, head: int) -> None:
        names = [name for name in self.theta if name.startswith(("trunk", f"head{head}"))]
        leaves = {name: self.theta[name].clone().requires_grad_() for name in names}
        g = self._gradients(self._task_loss(leaves, x, y, head), leaves)
        total = self._gradients(self._task_loss(leaves, x, y, head) + self._penalty(leaves), leaves)
        self.t += 1
        for name in names:
            old = self.theta[name]
            self.theta[name] = old + self._move(name, total[name])
            way = (total if self.mutation == "penalised-omega" else g)[name]
            self.omega[name] += -way * (self.theta[name] - old)

    def consolidate(self, head: int) -> None:
        for name in (n for n in self.theta if n.startswith(("trunk", f"head{head}"))):
            gone = self.theta[name] - self.anchor[name]
            gain = self.omega[name] / (gone**2 + XI)
            if self.mutation == "relu-per-task":
                self.importance[name] = self.importance[name] + functional.relu(gain)
            else:
                self.importance[name] = functional.relu(self.importance[name] + gain)
            if self.mutation != "stale-reference":
                self.anchor[name] = self.theta[name].clone()
            self.omega[name] = torch.zeros_like(self.omega[name])
            if self.options.keep_over_boundary != "all":
                self.m[name] = torch.zeros_like(self.m[name])
                self.v[name] = torch.zeros_like(self.v[name])
        if self.options.kind == "adam" and self.options.keep_over_boundary == "nothing":
            self.t = 0

    def values(self) -> dict[str, Values]:
        accounts = (self.theta, self.omega, self.importance, self.anchor)
        return dict(zip(BUFFERS, map(dict, accounts), strict=True))

    def _task_loss(self, at: Values, x: Tensor, y: Tensor, head: int) -> Tensor:
        for layer in ("trunk.1", "trunk.3"):
            x = functional.relu(x @ at[f"{layer}.weight"].T + at[f"{layer}.bias"])
        logits = x @ at[f"head{head}.weight"].T + at[f"head{head}.bias"]
        return -functional.log_softmax(logits, 1)[torch.arange(len(y)), y].mean()

    def _penalty(self, at: Values) -> Tensor:
        c = C / 2 if self.mutation == "half-penalty" else C
        terms = [
            (self.importance[n] * (self.anchor[n] - theta) ** 2).sum() for n, theta in at.items()
        ]
        return c * torch.stack(terms).sum()

    def _gradients(self, loss: Tensor, leaves: Values) -> Values:
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        return dict(zip(leaves, gradients, strict=True))

    def _move(self, name: str, gradient: Tensor) -> Tensor:
        o = self.options
        if o.kind == "sgd":
            return -o.learning_rate * gradient
        self.m[name] = o.beta1 * self.m[name] + (1 - o.beta1) * gradient
        self.v[name] = o.beta2 * self.v[name] + (1 - o.beta2) * gradient**2
        m, v = self.m[name], self.v[name]
        if o.epsilon_placement == "after-correction":  # torch.optim.Adam, Kingma & Ba's Alg. 1
            m_hat, v_hat = m / (1 - o.beta1**self.t), v / (1 - o.beta2**self.t)
            return -o.learning_rate * m_hat / (torch.sqrt(v_hat) + o.epsilon)
        rate: float = o.learning_rate * (1 - o.beta2**self.t) ** 0.5 / (1 - o.beta1**self.t)
        return -rate * m / (torch.sqrt(v) + o.epsilon)  # Keras


def values_of(learner: Learner) -> dict[str, Values]:
    groups = {"trunk": learner.trunk, "head0": learner.heads[0], "head1": learner.heads[1]}
    return {
        buffer: {
            f"{part}.{piece.name}": piece.views[buffer].view(piece.parameter.shape).clone()
            for part, group in groups.items()
            for piece in group.pieces
        }
        for buffer in BUFFERS
    }


Compare = Callable[..., dict[str, float]]


@pytest.fixture
def compare(build: Build, batches: Batches) -> Compare:
    def compare(
        optimiser: dict[str, Any],
        kernel: str = "numba",
        mutation: str | None = None,
        expected: dict[str, Any] | None = None,
    ) -> dict[str, float]:
        """The largest difference of θ, ω, Ω and θ̃ from the reference, over three tasks."""
        strength = {"strength": C, "damping": XI}
        learner = build(
            optimiser=optimiser, consolidator=strength, compute={"kernel": kernel, "device": "cpu"}
        )
        learner.open_heads(2)
        reference = Reference(learner, OptimiserOptions(**expected or optimiser), mutation)
        worst = dict.fromkeys(BUFFERS, 0.0)

        def look() -> None:
            here, there = values_of(learner), reference.values()
            for buffer, values in here.items():
                for name, value in values.items():
                    assert value.isfinite().all()
                    difference = float((value - there[buffer][name]).abs().max())
                    worst[buffer] = max(worst[buffer], difference)

        for task, head in enumerate(HEADS):
            for x, y in batches(STEPS, task):
                learner.learn(x, y, head)
                reference.step(x, y, head)
            look()  # ω, before the boundary zeroes it
            learner.consolidate(head)
            reference.consolidate(head)
            look()
        return worst

    return compare


KEEPS = ("all", "nothing", "step-count")
PLACEMENTS = ("before-correction", "after-correction")
# With a large ε, so that its place matters.
ADAM = {
    f"adam-{keep}-{placement}": {
        "learning_rate": 0.05,
        "epsilon": 1e-3,
        "keep_over_boundary": keep,
        "epsilon_placement": placement,
    }
    for keep in KEEPS
    for placement in PLACEMENTS
}
SGD = {"kind": "sgd", "learning_rate": 0.005}


@pytest.mark.parametrize("kernel", ["numba", "plain"])
@pytest.mark.parametrize("optimiser", [*ADAM.values(), SGD], ids=[*ADAM, "sgd"])
def test_learner_and_autograd_reference_agree_over_three_tasks(
    compare: Compare, optimiser: Given, kernel: str
) -> None:
    assert max(compare(optimiser, kernel).values()) < 1e-9


ADAM_KEEPING_ALL = ADAM["adam-all-before-correction"]
WRONG = {f"adam-{mutation}": (ADAM_KEEPING_ALL, mutation) for mutation in MUTATIONS}
# Without momentum no ω here is negative, so there the relu's order changes nothing.
WRONG |= {f"sgd-{mutation}": (SGD, mutation) for mutation in MUTATIONS if "relu" not in mutation}


@pytest.mark.parametrize(("optimiser", "mutation"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_account_does_not_agree(compare: Compare, optimiser: Given, mutation: str) -> None:
    assert max(compare(optimiser, mutation=mutation).values()) > 1e-6


@pytest.mark.parametrize("expected", [*ADAM.values()][1:], ids=[*ADAM][1:])
def test_another_setting_of_adam_does_not_agree(compare: Compare, expected: Given) -> None:
    """So each of the cases above says something of its own."""
    assert max(compare(ADAM_KEEPING_ALL, expected=expected).values()) > 1e-6
