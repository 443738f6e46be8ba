"""Learning without Forgetting against its formula, with the network copied as a whole."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from si_stream.learning.distillation import LearningWithoutForgetting
from si_stream.learning.learner import Learner
from tests.learning.building import Batches, Build, Given

RATE, STRENGTH = 0.05, 1.5
SLOW: Given = {"kind": "sgd", "learning_rate": RATE}
LWF: Given = {"kind": "lwf", "strength": STRENGTH}
HEADS: dict[str, list[int]] = {"a head each": [0, 1, 2], "one for all": [0, 0], "back": [0, 1, 0]}
MODELS: dict[str, Given] = {
    "fixed labels": {},
    "open labels": {"labels": "open", "outputs": 0, "max_classes": 6},
}


def teach(learner: Learner, batches: Batches, task: int, head: int, label: int = 0) -> None:
    for x, y in batches(10, task):
        learner.learn(x, y + label, head)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("order", HEADS.values(), ids=HEADS.keys())
def test_a_step_descends_the_task_loss_and_what_old_heads_answered_at_its_start(
    build: Build, batches: Batches, order: list[int], model: Given
) -> None:
    learner = build(model, SLOW, LWF)
    old: dict[int, int] = {}  # of each old head, how many outputs it had
    for task, head in enumerate(order[:-1]):
        teach(learner, batches, task, head)
        learner.consolidate(head)
        old[head] = 3
    head = order[-1]
    opens_more = bool(model)
    learner.open_heads(head + 1)
    kept = copy.deepcopy([learner.trunk.module, *(one.module for one in learner.heads)])
    teach(learner, batches, 5, head, label=opens_more)  # the learner is not the kept one any more
    x, y = batches(1, 6)[0]
    plain = copy.deepcopy([learner.trunk.module, *(one.module for one in learner.heads)])
    trained = [*plain[0].parameters(), *plain[head + 1].parameters()]

    outputs = 4 if opens_more else 3  # with the label 3, which only the new task has
    if opens_more and head not in old:
        opened = slice(0, 4) if (y == 0).any() else slice(1, 4)
    else:
        opened = slice(0, outputs)
    features = plain[0](x)
    loss = functional.cross_entropy(plain[head + 1](features)[:, opened], y - opened.start)
    for number, known in old.items():
        with torch.no_grad():
            before = functional.softmax(kept[number + 1](kept[0](x))[:, :known] / 2, 1)
        now = functional.log_softmax(plain[number + 1](features)[:, :known] / 2, 1)
        loss = loss - STRENGTH * (before * now).sum(1).mean()
    gradients = torch.autograd.grad(loss, trained)
    expected = [w.detach() - RATE * g for w, g in zip(trained, gradients, strict=True)]

    learner.learn(x, y, head)
    found = [
        piece.parameter.detach()
        for group in (learner.trunk, learner.heads[head])
        for piece in group.pieces
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    for number, group in enumerate(learner.heads):
        assert all(piece.parameter.grad is None for piece in group.pieces)
        if number != head:
            pairs = zip(group.module.parameters(), plain[number + 1].parameters(), strict=True)
            assert all(torch.equal(*pair) for pair in pairs)


def answers(learner: Learner, x: Tensor) -> list[Tensor]:
    consolidator = learner.consolidator
    assert isinstance(consolidator, LearningWithoutForgetting)
    return [old_BC for _, _, old_BC in consolidator.old_answers(x, learner.heads)]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_old_answers_are_those_of_the_start_of_the_task_without_dropout(
    build: Build, batches: Batches, dropout: float
) -> None:
    network = {"hidden": (8, 7), "hidden_dropout": dropout}
    learner = build({"network": network}, consolidator=LWF)
    x, _ = batches(1, 9)[0]
    teach(learner, batches, 0, head=0)
    assert answers(learner, x) == []
    learner.consolidate(head=0)
    expected = functional.softmax(learner.predict(x, head=0) / 2, 1)
    teach(learner, batches, 1, head=1)
    (found,) = answers(learner, x)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(functional.softmax(learner.predict(x, head=0) / 2, 1), expected)
    assert learner.trunk.module.training


def test_a_head_of_which_nothing_was_learned_is_no_old_one(build: Build, batches: Batches) -> None:
    learner = build(consolidator=LWF)
    learner.open_heads(2)
    learner.consolidate(head=0)
    teach(learner, batches, 1, head=1)
    x, _ = batches(1, 9)[0]
    assert answers(learner, x) == []
    learner.consolidate(head=1)
    assert len(answers(learner, x)) == 1


def test_an_old_task_is_kept_that_fine_tuning_forgets(build: Build, batches: Batches) -> None:
    x, y = (torch.cat(parts) for parts in zip(*batches(20, 0), strict=True))
    right = {}
    for kind in ("lwf", "none"):
        learner = build(consolidator={"kind": kind, "strength": 10.0})
        for task in range(3):
            for _ in range(10):
                teach(learner, batches, task, head=task)
            learner.consolidate(head=task)
        right[kind] = learner.count_correct(x, y, head=0) / len(y)
    assert right["lwf"] > 0.9
    assert right["none"] < 0.8
