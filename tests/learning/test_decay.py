"""The decay of importance: by the plain formula, and bounded however many tasks there are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from si_stream.learning.parameters import IMPORTANCE, PATH_INTEGRAL, WEIGHTS, ParameterGroup
from si_stream.learning.synaptic_intelligence import SynapticIntelligence
from tests.learning.building import Batches, Build

XI = 1e-3


def consolidated(gains: Tensor, decay: float) -> Tensor:
    """Ω ``[tasks, n]`` after each task, whose ω and Δ are ``gains[task]``."""
    group = ParameterGroup(torch.nn.Linear(gains.shape[2], 1, bias=False, dtype=gains.dtype))
    consolidator = SynapticIntelligence(1.0, XI, decay)
    consolidator.attach(group)
    (piece,) = group.pieces
    rows = []
    for omega, delta in gains:
        piece.views[PATH_INTEGRAL].copy_(omega)
        piece.views[WEIGHTS].add_(delta)
        consolidator.consolidate(group)
        rows.append(piece.views[IMPORTANCE].clone())
    return torch.stack(rows)


def drawn_gains(tasks: int) -> Tensor:
    source = torch.Generator().manual_seed(0)
    gains = torch.randn(tasks, 2, 50, generator=source, dtype=torch.float64)
    gains[:, 0] += 0.5  # as training brings the loss down, most ω are positive
    return gains


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.3, 0.99])
def test_importance_decays_by_the_plain_formula(decay: float) -> None:
    gains, expected = drawn_gains(20), [0.0] * 50
    for found, (omegas, deltas) in zip(consolidated(gains, decay), gains.tolist(), strict=True):
        expected = [
            max(0.0, (1 - decay) * old + omega / (delta**2 + XI))
            for old, omega, delta in zip(expected, omegas, deltas, strict=True)
        ]
        assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_over_a_thousand_tasks_importance_stays_bounded_where_it_decays_and_grows_otherwise() -> (
    None
):
    gains, decay = drawn_gains(1000), 0.05
    largest = (gains[:, 0] / (gains[:, 1].square() + XI)).clamp(min=0).amax(0)
    fading, growing = consolidated(gains, decay), consolidated(gains, 0.0)
    assert (fading <= largest / decay).all()
    assert fading[500:].mean() < 1.5 * fading[100:500].mean()
    assert growing[-1].mean() > 10 * fading[-1].mean()
    assert growing[-1].mean() > 5 * growing[100].mean()


def test_learning_for_a_thousand_tasks_goes_on_where_importance_decays(
    build: Build, batches: Batches
) -> None:
    """The same in a real learner, whose ω and Δ follow from Ω in turn."""
    norms: dict[float, list[float]] = {}
    for decay in (0.0, 0.2):
        learner = build(consolidator={"strength": 0.1, "decay": decay})
        norms[decay] = []
        for task in range(1000):
            for x, y in batches(3, task):
                learner.learn(x, y, head=0)
            learner.consolidate(head=0)
            norms[decay].append(float(learner.trunk[IMPORTANCE].norm()))
    assert norms[0.0][-1] > 3 * norms[0.0][100]
    assert max(norms[0.2][500:]) < 2 * max(norms[0.2][:500])
    assert norms[0.0][-1] > 3 * norms[0.2][-1]


def test_only_the_trunk_and_the_head_of_the_task_that_ends_decay(
    build: Build, batches: Batches
) -> None:
    learner = build(consolidator={"decay": 0.5})
    kept = []
    for head in (0, 1):
        for x, y in batches(10, head):
            learner.learn(x, y, head)
        learner.consolidate(head)
        kept.append(learner.heads[0][IMPORTANCE].clone())
    assert kept[0].any()
    assert torch.equal(*kept)
