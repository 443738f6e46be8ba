"""Heads whose outputs open as labels come: what is closed has no part in anything."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from si_stream.learning.frozen import FrozenNetwork, weights_of
from si_stream.learning.learner import Learner
from si_stream.learning.networks import OpenHead
from tests.learning.building import Batches, Build, Given

OPEN: Given = {"labels": "open", "outputs": 0, "max_classes": 7}
ZERO: Given = {"network": {"hidden": (8, 7), "head_initialisation": "zero"}}
DROPPING: Given = {
    "input_shape": (2, 14, 14),
    "network": {"kind": "cifar-cnn", "head_initialisation": "glorot-uniform"},
}
TESTED = {"with one forward pass": {}, "with a pass of its own": DROPPING}

both_ways = pytest.mark.parametrize("model", TESTED.values(), ids=TESTED.keys())


def head_of(learner: Learner, number: int = 0) -> OpenHead:
    module = learner.heads[number].module
    assert isinstance(module, OpenHead)
    return module


def opened(learner: Learner, number: int = 0) -> list[int]:
    return list(head_of(learner, number).is_open.nonzero().flatten().tolist())


def copy_of(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def in_rows(learner: Learner, buffer: str, number: int = 0) -> tuple[Tensor, Tensor]:
    """A buffer of a head, as the weights ``[C, F]`` and the biases ``[C]`` lie in it."""
    group = learner.heads[number]
    weight, bias = group.pieces
    return weight.views[buffer].view(weight.parameter.shape), bias.views[buffer]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("outputs", [0, 2])
def test_two_open_outputs_learn_what_a_head_of_two_does(
    build: Build, batches: Batches, optimiser: str, outputs: int
) -> None:
    kind = {"kind": optimiser}
    fixed = build(ZERO | {"outputs": 2}, kind)
    open_ = build(ZERO | OPEN | {"outputs": outputs}, kind)
    for task in range(2):
        for x, y in batches(15, task, outputs=2):
            one, other = fixed.learn(x, y, head=task), open_.learn(x, y, head=task)
            assert one.loss.item() == pytest.approx(other.loss.item(), abs=1e-12)
        for learner in (fixed, open_):
            learner.consolidate(task)
    for name in fixed.trunk.buffers:
        torch.testing.assert_close(open_.trunk[name], fixed.trunk[name], rtol=0, atol=1e-12)
        for head in range(2):
            for mine, whole in zip(
                in_rows(fixed, name, head), in_rows(open_, name, head), strict=True
            ):
                torch.testing.assert_close(whole[:2], mine, rtol=0, atol=1e-12)
                assert not whole[2:].any()
    assert fixed.trunk["importance"].any()
    assert [opened(open_, head) for head in range(2)] == [[0, 1], [0, 1]]


@both_ways
def test_what_the_weights_of_closed_outputs_are_changes_no_bit(
    build: Build, batches: Batches, model: Given
) -> None:
    one, other = build(model | OPEN), build(model | OPEN)
    for learner in (one, other):
        learner.open_heads(1)
    for rows in in_rows(other, "weights"):
        rows[3:] = 1e20
    for x, y in batches(6, shape=model.get("input_shape", (6,))):
        for learner in (one, other):
            learned = learner.learn(x, y, head=0)
            assert learned.finite
    for learner in (one, other):
        learner.consolidate(head=0)
    assert same(
        {name: t for name, t in copy_of(one).items() if name.startswith("trunk")},
        {name: t for name, t in copy_of(other).items() if name.startswith("trunk")},
    )
    for name in one.heads[0].buffers:
        for mine, others in zip(in_rows(one, name), in_rows(other, name), strict=True):
            assert torch.equal(mine[:3], others[:3])


@pytest.mark.parametrize("consolidator", ["synaptic-intelligence", "none"])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("kernel", ["numba", "plain"])
def test_closed_outputs_stay_to_the_bit_and_nothing_of_them_is_kept(
    build: Build, batches: Batches, kernel: str, optimiser: str, consolidator: str
) -> None:
    learner = build(OPEN, {"kind": optimiser}, {"kind": consolidator}, {"kernel": kernel})
    learner.open_heads(1)
    first = [rows.clone() for rows in in_rows(learner, "weights")]
    for task in range(2):
        for x, y in batches(10, task):
            assert learner.learn(x, y, head=0).finite
        learner.consolidate(head=0)
    for before, after in zip(first, in_rows(learner, "weights"), strict=True):
        assert torch.equal(after[3:], before[3:])
        assert not torch.equal(after[:3], before[:3])
    for name, buffer in learner.heads[0].buffers.items():
        assert buffer.isfinite().all()
        if name not in ("weights", "reference"):
            assert not any(rows[3:].any() for rows in in_rows(learner, name))
    assert learner.surrogate_loss(0).isfinite()


@both_ways
def test_a_label_that_is_new_is_predicted_wrong_and_then_trained_on(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model | OPEN, optimiser={"learning_rate": 0.003})
    x, y = batches(1, shape=model.get("input_shape", (6,)))[0]
    first = learner.learn(x, torch.zeros_like(y), head=0)
    assert first.wrong_B.all()  # of all labels alike, the first is no better than another
    assert opened(learner) == [0]
    assert not learner.learn(x, torch.zeros_like(y), head=0).wrong_B.any()

    labels = torch.where(torch.arange(len(y)) < 4, 5, 0)
    before = learner.predict(x, head=0)
    assert before[:, 1:].isneginf().all()
    assert before[:, 0].isfinite().all()
    learned = learner.learn(x, labels, head=0)
    assert torch.equal(learned.wrong_B, labels == 5)
    assert opened(learner) == [0, 5]
    for _ in range(100):
        learned = learner.learn(x[[0, -1]], labels[[0, -1]], head=0)
    assert not learned.wrong_B.any()


def test_the_loss_of_a_new_label_is_that_among_the_outputs_that_are_then_open(
    build: Build, batches: Batches
) -> None:
    learner = build(OPEN)
    for x, y in batches(3):
        learner.learn(x, y, head=0)
    x, y = batches(1)[0]
    all_BC = functional.linear(learner.trunk.module(x), *learner.heads[0].module.parameters())
    expected = functional.cross_entropy(all_BC[:, :4], torch.full_like(y, 3))
    loss = learner.learn(x, torch.full_like(y, 3), head=0).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_where_nothing_is_open_nothing_is_right(build: Build, batches: Batches) -> None:
    learner = build(OPEN)
    learner.open_heads(1)
    x, y = batches(1)[0]
    assert learner.count_correct(x, torch.zeros_like(y), head=0) == 0
    learner.learn(x, torch.full_like(y, 2), head=0)
    assert learner.count_correct(x, torch.zeros_like(y), head=0) == 0
    assert learner.count_correct(x, torch.full_like(y, 2), head=0) == len(y)


@pytest.mark.parametrize("label", [-1, 7])
def test_a_label_that_no_head_has_room_for_is_refused_and_opens_nothing(
    build: Build, batches: Batches, label: int
) -> None:
    learner = build(OPEN)
    x, y = batches(1)[0]
    learner.learn(x, y, head=0)
    before = copy_of(learner)
    with pytest.raises(IndexError):
        learner.learn(x, torch.where(y == 0, label, 4), head=0)
    assert same(copy_of(learner), before)


@both_ways
def test_a_batch_that_is_not_finite_leaves_open_what_was(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model | OPEN)
    x, y = batches(1, shape=model.get("input_shape", (6,)))[0]
    learner.learn(x, y.clamp(max=1), head=0)
    before = copy_of(learner)
    broken = x.clone()
    broken[0] = math.inf
    assert not learner.learn(broken, torch.full_like(y, 6), head=0).finite
    after = copy_of(learner)
    del before["random.dropout"], after["random.dropout"]  # numbers were drawn
    assert same(after, before)
    assert opened(learner) == [0, 1]


@both_ways
def test_a_learner_goes_on_from_its_state_wherever_it_was_saved(
    build: Build, batches: Batches, model: Given
) -> None:
    given = model | OPEN
    learner, saved = build(given), [copy_of(build(given))]
    stream = [
        (x, y + step, step // 3)
        for step, (x, y) in enumerate(batches(5, shape=given.get("input_shape", (6,)), size=6))
    ]
    for x, y, head in stream:
        learner.learn(x, y, head)
        saved.append(copy_of(learner))
    assert opened(learner, 0) == [0, 1, 2, 3, 4]
    for step, state in enumerate(saved):
        other = build(given)
        other.load_state(state)
        for x, y, head in stream[step:]:
            other.learn(x, y, head)
        assert same(copy_of(other), saved[-1])


@both_ways
def test_a_frozen_network_lists_the_labels_up_to_the_highest_that_is_open(
    build: Build, batches: Batches, model: Given
) -> None:
    learner = build(model | OPEN)
    x, y = batches(1, shape=model.get("input_shape", (6,)))[0]
    learner.learn(x, torch.where(y == 0, 1, 4), head=0)
    learner.learn(x, y, head=1)
    frozen = FrozenNetwork(learner.model, weights_of(copy_of(learner)))
    for head, width in ((0, 5), (1, 3)):
        expected = torch.softmax(learner.predict(x, head), 1).numpy()
        found = frozen.probabilities(x.numpy(), head)
        assert found.flags.c_contiguous
        assert found.tobytes() == np.ascontiguousarray(expected[:, :width]).tobytes()
        assert not expected[:, width:].any()
    assert not frozen.probabilities(x.numpy(), 0)[:, [0, 2, 3]].any()
    assert frozen.probabilities(x.numpy(), 0).sum(1) == pytest.approx(1)
