"""A slowed trunk: a part of each step from the second task on, and nothing of it when frozen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from si_stream.learning.learner import Learner
from si_stream.learning.parameters import WEIGHTS
from tests.learning.building import Batches, Build


def weights_of(learner: Learner) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in learner.state().items() if n.endswith(WEIGHTS)}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kernel", ["numba", "plain"])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_from_the_second_task_on_the_trunk_moves_by_a_part_of_the_step(
    build: Build, batches: Batches, optimiser: str, kernel: str
) -> None:
    part = 0.3
    slow, full = (
        build(
            optimiser={"kind": optimiser},
            consolidator={"kind": kind, "trunk_rate": part},
            compute={"kernel": kernel},
        )
        for kind in ("slow-trunk", "none")
    )
    for learner in (slow, full):
        for x, y in batches(5):
            learner.learn(x, y, head=0)
        learner.consolidate(head=0)
        learner.open_heads(2)
    before = weights_of(full)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(slow).items())
    x, y = batches(1, 1)[0]
    for learner in (slow, full):
        learner.learn(x, y, head=1)
    for name, after in weights_of(full).items():
        step = after - before[name]
        found = weights_of(slow)[name] - before[name]
        expected = part * step if name.startswith("trunk") else step
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
        assert step.any() == (name != "heads.0.weights")


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_frozen_trunk_stays_to_the_bit_and_heads_are_learned_on_it(
    build: Build, batches: Batches, optimiser: str
) -> None:
    learner = build(
        optimiser={"kind": optimiser}, consolidator={"kind": "slow-trunk", "trunk_rate": 0}
    )
    trunks = []
    for task in range(3):
        losses = [learner.learn(x, y, head=task).loss.item() for x, y in 3 * batches(60, task)]
        learner.consolidate(head=task)
        assert sum(losses[-60:]) < sum(losses[:60])
        trunks.append(learner.trunk[WEIGHTS].clone())
    assert torch.equal(trunks[1], trunks[0])
    assert torch.equal(trunks[2], trunks[0])


def test_a_first_task_of_which_nothing_was_learned_slows_nothing(
    build: Build, batches: Batches
) -> None:
    """One whose batches are all in quarantine, say."""
    learner = build(consolidator={"kind": "slow-trunk", "trunk_rate": 0})
    learner.open_heads(1)
    learner.consolidate(head=0)
    before = learner.trunk[WEIGHTS].clone()
    learner.learn(*batches(1)[0], head=0)
    assert not torch.equal(learner.trunk[WEIGHTS], before)
