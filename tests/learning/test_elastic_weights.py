"""EWC and online EWC against their formulas, with a penalty and a reference for every task."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from si_stream.learning.elastic_weights import ElasticWeights, OnlineElasticWeights
from si_stream.learning.fisher import diagonal_fisher
from si_stream.learning.learner import Learner
from si_stream.learning.options import ModelOptions
from si_stream.learning.parameters import IMPORTANCE, REFERENCE, WEIGHTS, ParameterGroup
from si_stream.learning.reservoir import Reservoir
from tests.learning.building import Batches, Build

pytestmark = pytest.mark.usefixtures("float64")

TASKS, WIDTH = 7, 40


def drawn_tasks() -> list[tuple[Tensor, Tensor]]:
    """F_t and θ_t of each task; weights that never mattered, or only later, are among them."""
    source = torch.Generator().manual_seed(0)
    fishers = torch.rand(TASKS, WIDTH, generator=source)
    fishers[:, :5] = 0
    fishers[:3, 5:10] = 0
    return list(zip(fishers, torch.randn(TASKS, WIDTH, generator=source), strict=True))


def ended(kind: type[ElasticWeights], decay: float) -> tuple[ElasticWeights, ParameterGroup]:
    """A consolidator that all drawn tasks have ended for."""
    group = ParameterGroup(nn.Linear(WIDTH, 1, bias=False))
    reservoir = Reservoir(1, ModelOptions(input_shape=(WIDTH,)), torch.device("cpu"))
    consolidator = kind(1.5, decay, reservoir)
    consolidator.attach(group)
    for fisher, theta in drawn_tasks():
        group[WEIGHTS].copy_(theta)
        consolidator.consolidate(group, fisher)
    return consolidator, group


def moved(consolidator: ElasticWeights, group: ParameterGroup, to: Tensor) -> tuple[Tensor, Tensor]:
    """Its penalty at other weights, and the gradient of it."""
    group[WEIGHTS].copy_(to)
    weights = group[WEIGHTS].requires_grad_()
    loss = consolidator.surrogate_loss(group)
    (gradient,) = torch.autograd.grad(loss, weights)
    weights.requires_grad_(False)
    return loss.detach(), gradient


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_ewc_is_a_penalty_for_each_task_up_to_a_number_that_moves_no_weight(decay: float) -> None:
    consolidator, group = ended(ElasticWeights, decay)

    def plain(theta: Tensor) -> Tensor:
        kept = [(1 - decay) ** (TASKS - 1 - task) for task in range(TASKS)]
        penalties = [
            share * (fisher * (theta - reference).square()).sum()
            for share, (fisher, reference) in zip(kept, drawn_tasks(), strict=True)
        ]
        return 1.5 * torch.stack(penalties).sum()

    differences = []
    for seed in range(3):
        theta = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed + 1))
        theta.requires_grad_()
        expected = plain(theta)
        (gradient,) = torch.autograd.grad(expected, theta)
        loss, found = moved(consolidator, group, theta.detach())
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12)
        differences.append(float(expected.detach() - loss))
    assert differences == pytest.approx([differences[0]] * 3, rel=1e-9)
    assert differences[0] > 1  # with one reference for all, there would be none


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_online_ewc_is_one_penalty_about_the_newest_weights(decay: float) -> None:
    consolidator, group = ended(OnlineElasticWeights, decay)
    running = torch.zeros(WIDTH)
    for fisher, _ in drawn_tasks():
        running = (1 - decay) * running + fisher
    _, newest = drawn_tasks()[-1]
    theta = torch.ones(WIDTH)
    loss, _ = moved(consolidator, group, theta)
    assert float(loss) == pytest.approx(float(1.5 * (running * (theta - newest).square()).sum()))


@pytest.mark.parametrize("kind", ["ewc", "online-ewc"])
def test_a_task_that_ends_adds_the_fisher_of_its_own_samples_through_its_own_head(
    build: Build, batches: Batches, kind: str
) -> None:
    given = {"kind": kind, "strength": 3.0, "decay": 0.2, "fisher_samples": 1000}
    learner = build(consolidator=given)
    plain: dict[str, list[Tensor]] = {}
    for task, head in enumerate((0, 1, 0)):
        data = batches(8, task)
        for x, y in data:
            learner.learn(x, y, head)
        seen = torch.cat([x for x, _ in data])
        before = {name: tensor.clone() for name, tensor in learner.state().items()}
        fishers = diagonal_fisher(
            (learner.trunk, learner.heads[head]),
            seen,
            partial(learner._log_probabilities, head=head),
        )
        learner.consolidate(head)
        for part, fisher in zip(("trunk", f"heads.{head}"), fishers, strict=True):
            plain[part] = [*(0.8 * old for old in plain.get(part, [])), fisher]
            importance = learner.state()[f"{part}.{IMPORTANCE}"]
            torch.testing.assert_close(importance, torch.stack(plain[part]).sum(0))
        other = f"heads.{1 - head}"
        for name, tensor in learner.state().items():
            assert not name.startswith(other) or torch.equal(tensor, before[name])


def trained_on(learner: Learner, batches: Batches, task: int, head: int) -> None:
    for _ in range(5):
        for x, y in batches(20, task):
            learner.learn(x, y, head)
    learner.consolidate(head)


@pytest.mark.parametrize("kind", ["ewc", "online-ewc"])
def test_an_old_task_is_kept_that_fine_tuning_forgets(
    build: Build, batches: Batches, kind: str
) -> None:
    x, y = (torch.cat(parts) for parts in zip(*batches(20, 0), strict=True))
    right = {}
    for one in (kind, "none"):
        learner = build(consolidator={"kind": one, "strength": 100.0})
        for task in range(3):
            trained_on(learner, batches, task, head=task)
        right[one] = learner.count_correct(x, y, head=0) / len(y)
    assert right[kind] > 0.9
    assert right["none"] < 0.8


def test_what_is_kept_does_not_grow_with_the_tasks(build: Build, batches: Batches) -> None:
    learner = build(consolidator={"kind": "ewc"})
    sizes = []
    for task in range(4):
        for x, y in batches(2, task):
            learner.learn(x, y, head=0)
        learner.consolidate(head=0)
        sizes.append({name: tensor.shape for name, tensor in learner.state().items()})
    assert all(size == sizes[0] for size in sizes)


def test_a_weight_that_matters_to_no_task_has_the_newest_reference() -> None:
    _, group = ended(ElasticWeights, 0.0)
    newest = drawn_tasks()[-1][1]
    assert torch.equal(group[REFERENCE][:5], newest[:5])
    assert not group[IMPORTANCE][:5].any()
