"""Synaptic Intelligence in one's own loop: the learner's bits, PyTorch's habits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from si_stream import SynapticIntelligenceOptimizer
from si_stream.errors import SettingsError
from si_stream.learning.parameters import IMPORTANCE
from tests.learning.building import Batches, Build

Kind = Literal["adam", "sgd"]
Keep = Literal["all", "nothing", "step-count"]


class Network(nn.Module):
    def __init__(self, trunk: nn.Module, heads: Iterable[nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(heads)

    def loss(self, x: Tensor, y: Tensor, head: int) -> Tensor:
        return functional.cross_entropy(self.heads[head](self.trunk(x)), y)


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(nn.Sequential(nn.Linear(6, 7), nn.ReLU()), [nn.Linear(7, 3), nn.Linear(7, 3)])


def train(
    model: Network,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    head: int = 0,
) -> None:
    for x, y in batches:
        optimizer.zero_grad()
        torch.autograd.backward(model.loss(x, y, head))
        optimizer.step()


@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("keep", ["all", "nothing", "step-count"])
def test_one_s_own_loop_learns_the_learners_bits(
    build: Build, batches: Batches, kind: Kind, keep: Keep
) -> None:
    learner = build(
        optimiser={"kind": kind, "keep_over_boundary": keep}, consolidator={"strength": 2.0}
    )
    twin = build()
    twin.open_heads(1)
    model = Network(twin.trunk.module, [twin.heads[0].module])
    optimizer = SynapticIntelligenceOptimizer(
        model, learning_rate=0.01, strength=2.0, kind=kind, keep_over_boundary=keep
    )
    for task in range(3):
        for x, y in batches(10, task):
            learner.learn(x, y, head=0)
        train(model, optimizer, batches(10, task))
        one, other = (
            trunk.get_parameter("1.weight") for trunk in (model.trunk, learner.trunk.module)
        )
        assert torch.equal(one, other)
        assert optimizer.surrogate_loss() == pytest.approx(learner.surrogate_loss(0))
        learner.consolidate(head=0)
        optimizer.consolidate()
        assert optimizer.surrogate_loss() == 0


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_it_goes_on_from_its_state_dict_bit_for_bit(batches: Batches, kind: Kind) -> None:
    model = network()
    optimizer = SynapticIntelligenceOptimizer(model, learning_rate=0.01, strength=3.0, kind=kind)
    train(model, optimizer, batches(10, 0))
    optimizer.consolidate()
    train(model, optimizer, batches(5, 1))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    saved = optimizer.state_dict()
    saved = {
        "state": {k: {n: t.clone() for n, t in v.items()} for k, v in saved["state"].items()},
        "param_groups": [dict(group) for group in saved["param_groups"]],
    }

    other = network(seed=1)
    resumed = SynapticIntelligenceOptimizer(other, learning_rate=0.5, strength=0.0, kind=kind)
    train(other, resumed, batches(3, 2))
    other.load_state_dict(weights)
    resumed.load_state_dict(saved)
    assert resumed.surrogate_loss() == optimizer.surrogate_loss() > 0
    for one, its in ((model, optimizer), (other, resumed)):
        train(one, its, batches(5, 2))
        its.consolidate()
        train(one, its, batches(5, 0))
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "other",
    [
        lambda: torch.optim.Adam(network().parameters()),
        lambda: SynapticIntelligenceOptimizer(nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))),
    ],
    ids=["adam", "another-model"],
)
def test_the_state_of_another_optimizer_is_refused_and_the_old_one_stays(
    batches: Batches, other: Callable[[], torch.optim.Optimizer]
) -> None:
    model, twin = network(), network()
    optimizers = [SynapticIntelligenceOptimizer(one) for one in (model, twin)]
    for one, optimizer in zip((model, twin), optimizers, strict=True):
        train(one, optimizer, batches(3))
    with pytest.raises(ValueError, match=r"lacks|expected"):
        optimizers[0].load_state_dict(other().state_dict())
    for one, optimizer in zip((model, twin), optimizers, strict=True):
        train(one, optimizer, batches(3))
    assert torch.equal(*(one.get_parameter("trunk.0.weight") for one in (model, twin)))


def test_the_head_of_an_old_task_does_not_move(batches: Batches) -> None:
    model = network()
    optimizer = SynapticIntelligenceOptimizer(model, keep_over_boundary="all")
    train(model, optimizer, batches(10, 0), head=0)
    optimizer.consolidate()
    before = [parameter.detach().clone() for parameter in model.heads[0].parameters()]
    train(model, optimizer, batches(10, 1), head=1)
    pairs = zip(before, model.heads[0].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_scheduler_sets_the_rate_of_each_step(batches: Batches) -> None:
    model, other = network(), network()
    optimizer = SynapticIntelligenceOptimizer(model, learning_rate=0.1, kind="sgd")
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.0)
    reference = torch.optim.SGD(other.parameters(), lr=0.1)
    data = batches(1)
    for _ in range(3):  # at 0.1, then twice at 0
        train(model, optimizer, data)
        scheduler.step()
    train(other, reference, data)
    torch.testing.assert_close(*(one.get_parameter("trunk.0.weight") for one in (model, other)))


def test_a_closure_is_evaluated_with_gradients(batches: Batches) -> None:
    model = network()
    optimizer = SynapticIntelligenceOptimizer(model)
    ((x, y),) = batches(1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.loss(x, y, head=0)
        torch.autograd.backward(loss)
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_a_model_that_moved_away_from_the_buffer_is_noticed(batches: Batches) -> None:
    model = network()
    optimizer = SynapticIntelligenceOptimizer(model)
    model.double().float()
    with pytest.raises(RuntimeError, match=r"trunk\.0\.weight no longer lies in .* before the"):
        train(model, optimizer, batches(1))


def test_what_cannot_be_used_is_refused() -> None:
    optimizer = SynapticIntelligenceOptimizer(network())
    with pytest.raises(NotImplementedError, match="let the model hold every head"):
        optimizer.add_param_group({"params": nn.Linear(2, 2).parameters()})
    with pytest.raises(ValidationError, match="greater than 0"):
        SynapticIntelligenceOptimizer(network(), damping=0.0)
    with pytest.raises(SettingsError, match="must be float32 or float64"):
        SynapticIntelligenceOptimizer(network().half())


def test_importance_decays_as_the_learners_does_and_its_share_is_part_of_the_state(
    build: Build, batches: Batches
) -> None:
    learner = build(optimiser={"kind": "sgd"}, consolidator={"strength": 2.0, "decay": 0.5})
    twin = build()
    twin.open_heads(1)
    model = Network(twin.trunk.module, [twin.heads[0].module])
    optimizer = SynapticIntelligenceOptimizer(
        model, learning_rate=0.01, strength=2.0, kind="sgd", decay=0.5
    )
    for task in range(3):
        for x, y in batches(10, task):
            learner.learn(x, y, head=0)
        train(model, optimizer, batches(10, task))
        learner.consolidate(head=0)
        optimizer.consolidate()
    weight = model.trunk.get_parameter("1.weight")
    importance = learner.trunk.pieces[0].views[IMPORTANCE]
    assert torch.equal(optimizer.state[weight][IMPORTANCE].flatten(), importance)
    saved = optimizer.state_dict()
    resumed = SynapticIntelligenceOptimizer(model, kind="sgd")
    resumed.load_state_dict(saved)
    assert resumed.param_groups[0]["decay"] == 0.5
    del saved["param_groups"][0]["decay"]  # as it was before there was any
    resumed.load_state_dict(saved)
    assert resumed.param_groups[0]["decay"] == 0.0
