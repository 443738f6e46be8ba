"""Importance of runs of the bundled digits, against what NumPy says of a bare learner's buffers."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch

from si_stream.learning.fisher import diagonal_fisher
from si_stream.learning.learner import Learner
from si_stream.learning.options import ComputeOptions, ConsolidatorOptions
from si_stream.learning.parameters import PATH_INTEGRAL, REFERENCE, WEIGHTS
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import NONE, SI
from simulators.reproductions.paper.importance import FISHER_SAMPLES, Importance, observe
from simulators.reproductions.paper.settings import learner, recipe
from simulators.scenarios import Scenario
from tests.simulators.reproductions.paper.making import DIGITS

ARM = Arm(SI, 1.0, 1, 3)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return recipe(DIGITS, ARM).scenario(0)


def made(**consolidator: object) -> Learner:
    chosen = learner(DIGITS, ARM, 0, "cpu")
    options = ConsolidatorOptions(**{**chosen.consolidator.model_dump(), **consolidator})
    return Learner(chosen.model, chosen.optimiser, options, ComputeOptions(device="cpu"))


def learned(model: Learner, scenario: Scenario, number: int) -> None:
    for first in range(0, len(scenario.tasks[number].train), 64):
        train = scenario.tasks[number].train
        inputs, labels = train.take(np.arange(first, min(first + 64, len(train))))
        model.learn(torch.from_numpy(inputs), torch.from_numpy(labels), number)


def test_it_is_what_the_buffers_held_before_each_boundary(scenario: Scenario) -> None:
    model = made()
    observer = observe(model, scenario.tasks)
    assert observer is not None
    omegas, gains, fishers = [], [], []
    for number, task in enumerate(scenario.tasks):
        learned(model, scenario, number)
        trunk = model.trunk
        piece = trunk.pieces[0]  # the first layer's weights
        own = slice(piece.start, piece.start + piece.size)
        omega = trunk[PATH_INTEGRAL][own].double().numpy().copy()
        delta = (trunk[WEIGHTS] - trunk[REFERENCE])[own].double().numpy()
        inputs, _ = task.train.take(np.arange(min(FISHER_SAMPLES, len(task.train))))
        fisher = diagonal_fisher(
            [trunk, model.heads[number]],
            torch.from_numpy(inputs),
            partial(model._log_probabilities, head=number),
        )[0]
        omegas.append(omega)
        gains.append(omega / (delta**2 + observer.damping))
        fishers.append(fisher[own].numpy())
        model.consolidate(number)
    found = observer.found()
    assert found.between_tasks["hidden-1"] == pytest.approx(np.corrcoef(omegas), abs=1e-5)
    pairs = list(zip(gains, fishers, strict=True))
    pearson = [np.corrcoef(gain, fisher)[0, 1] for gain, fisher in pairs]
    assert found.with_fisher["hidden-1"] == pytest.approx(pearson, abs=1e-4)
    ranks = [np.corrcoef(rank_of(gain), rank_of(fisher))[0, 1] for gain, fisher in pairs]
    assert found.with_fisher_ranks["hidden-1"] == pytest.approx(ranks, abs=1e-4)


def rank_of(values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    return values.argsort(kind="stable").argsort()


def test_a_head_of_each_task_is_not_compared_and_one_of_all_is(scenario: Scenario) -> None:
    for heads, layers in (("per-task", 2), ("shared", 3)):
        model = made()
        model.model = model.model.model_copy(update={"heads": heads})
        observer = observe(model, scenario.tasks)
        assert observer is not None
        learned(model, scenario, 0)
        model.consolidate(0)
        assert len(observer.found().between_tasks) == layers


def test_no_importance_is_asked_of_who_has_none(scenario: Scenario) -> None:
    assert observe(made(kind="none"), scenario.tasks) is None


@pytest.mark.parametrize("looked_at", [False, True])
def test_at_strength_0_it_learns_what_is_learned_without_it(
    scenario: Scenario, looked_at: bool
) -> None:
    """So *none* of the paper's figures may be c = 0, of which there is an ω to look at."""
    zero, none = made(strength=0.0), made(kind="none")
    if looked_at:
        assert observe(zero, scenario.tasks) is not None
    for number in range(len(scenario.tasks)):
        for model in (zero, none):
            learned(model, scenario, number)
            model.consolidate(number)
    assert torch.equal(zero.trunk[WEIGHTS], none.trunk[WEIGHTS])
    for one, other in zip(zero.heads, none.heads, strict=True):
        assert torch.equal(one[WEIGHTS], other[WEIGHTS])


def test_the_mean_between_tasks_leaves_out_each_task_with_itself() -> None:
    found = Importance(between_tasks={"hidden-1": [[1, 0.1, 0.2], [0.1, 1, 0.6], [0.2, 0.6, 1]]})
    assert found.mean_between_tasks("hidden-1") == pytest.approx(0.3)


def test_none_of_a_benchmark_is_strength_0() -> None:
    assert learner(DIGITS, ARM._replace(method=NONE, strength=None), 0).consolidator.strength == 0
