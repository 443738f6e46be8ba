"""What the tests of the learning core are given, learners and batches as asked; networks of every
kind; and what is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor

from si_stream.learning.learner import Learned, Learner

Given = dict[str, Any]  # settings, by name


class Build(Protocol):
    def __call__(
        self,
        model: Given | None = None,
        optimiser: Given | None = None,
        consolidator: Given | None = None,
        compute: Given | None = None,
    ) -> Learner: ...


class Batches(Protocol):
    def __call__(
        self,
        count: int,
        task: int = 0,
        shape: tuple[int, ...] = (6,),
        size: int = 16,
        outputs: int = 3,
    ) -> list[tuple[Tensor, Tensor]]: ...


CNN: Given = {
    "input_shape": (2, 14, 14),
    "network": {"kind": "cifar-cnn", "head_initialisation": "glorot-uniform"},
}
OWN: Given = {"network": {"kind": "module", "module": "own_trunks:dropping"}}
DROPPING: Given = {
    "network": {"hidden": (8, 7), "hidden_dropout": 0.5, "head_initialisation": "glorot-uniform"}
}
WIDE: Given = {"input_shape": (1200,), "network": {"hidden": (1024,)}}
NETWORKS: dict[str, Given] = {
    "mlp": {},
    "mlp with dropout": DROPPING,
    "cifar-cnn": CNN,
    "module": OWN,
}

every_network = pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS.keys())


def copy_of(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def learn(learner: Learner, batches: Iterable[tuple[Tensor, Tensor]], head: int) -> list[Learned]:
    return [learner.learn(x, y, head) for x, y in batches]


def batches_for(
    batches: Batches, model: Given, count: int, task: int = 0, size: int = 16
) -> list[tuple[Tensor, Tensor]]:
    return batches(count, task, shape=model.get("input_shape", (6,)), size=size)
