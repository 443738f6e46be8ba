"""What a train step does: counted operations and bytes, no clock."""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from si_stream.learning.kernels.fused import FusedKernel
from si_stream.learning.kernels.interface import AdamStep, Kernel, SgdStep, Synapses
from si_stream.learning.learner import Learner
from tests.learning.building import Batches, Build

NETWORK = {"network": {"hidden": (64, 32)}}
LARGEST = 32 * 64  # weights of the trunk's largest layer
WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "unique")  # for the device


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's has no types
    """Every PyTorch operation by name, with the bytes of all tensors that it touches."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.calls: list[tuple[str, int]] = []
        self.made_large: list[str] = []  # of a layer's size, in memory that was not given

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {t.untyped_storage().data_ptr() for t in tree_leaves(args) if _is_large(t)}
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        touched = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
        self.calls.append((name, sum(t.nbytes for t in touched)))
        self.made_large.extend(
            name
            for t in tree_leaves(out)
            if _is_large(t) and t.untyped_storage().data_ptr() not in given
        )
        return out


class Counting(Kernel):
    """The fused kernel, and how many weights each call was given."""

    name = "counting"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.fused = FusedKernel()

    def adam(
        self, at: Synapses, m: Tensor, v: Tensor, gradient: Tensor, step: AdamStep, strength: float
    ) -> None:
        self.sizes.append(len(at.weights))
        self.fused.adam(at, m, v, gradient, step, strength)

    def sgd(self, at: Synapses, gradient: Tensor, step: SgdStep, strength: float) -> None:
        raise AssertionError("Adam was asked for")


def operations_of_a_step(learner: Learner, batches: Batches) -> list[tuple[str, int]]:
    """Of the second task's tenth step."""
    data = batches(10)
    for task in range(2):
        for x, y in data[:-1]:
            learner.learn(x, y, head=task)
        learner.consolidate(head=task)
    seen = Operations()
    with seen:
        learner.learn(*data[-1], head=1)
    return seen.calls


@pytest.mark.parametrize("kernel", ["numba", "plain"])
def test_a_step_does_and_touches_the_same_with_2_heads_and_with_100(
    build: Build, batches: Batches, kernel: str
) -> None:
    learners = [build(NETWORK, compute={"kernel": kernel}) for _ in range(2)]
    for learner, heads in zip(learners, (2, 100), strict=True):
        learner.open_heads(heads)
    two, hundred = (operations_of_a_step(learner, batches) for learner in learners)
    assert two == hundred
    assert len(two) > 10


def test_the_kernel_is_called_for_the_trunk_and_one_head_however_many_there_are(
    build: Build, batches: Batches
) -> None:
    for heads in (2, 100):
        learner = build(NETWORK)
        learner.open_heads(heads)
        learner.kernel = Counting()
        learner.learn(*batches(1)[0], head=1)
        assert learner.kernel.sizes == [6 * 64, 64, 64 * 32, 32, 32 * 3, 3]


def test_a_step_makes_as_many_calls_with_2_heads_as_with_100(
    build: Build, batches: Batches
) -> None:
    """Python's own: a loop over all heads would show."""
    calls = []
    for heads in (2, 100):
        learner = build(NETWORK)
        learner.open_heads(heads)
        data = batches(4)
        for x, y in data[:-1]:
            learner.learn(x, y, head=1)
        calls.append(0)

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            calls[-1] += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            learner.learn(*data[-1], head=1)
        finally:
            sys.setprofile(before)
    assert calls[0] == calls[1] > 100


def test_si_adds_no_operation_to_a_step(build: Build, batches: Batches) -> None:
    """So no second backward pass, no copy of the old parameters and no penalty in the loss."""
    si, none = (
        [
            (name, touched)
            for name, touched in operations_of_a_step(
                build(NETWORK, consolidator={"kind": kind}), batches
            )
            if name != "detach"  # a buffer shown to the kernel, without a copy
        ]
        for kind in ("synaptic-intelligence", "none")
    )
    assert si == none


def test_a_step_makes_no_tensor_of_a_layers_size_but_its_gradient(
    build: Build, batches: Batches
) -> None:
    learner = build(NETWORK)
    learner.learn(*batches(1)[0], head=0)
    seen = Operations()
    with seen:
        learner.learn(*batches(1)[0], head=0)
    assert seen.made_large == ["mm"]  # the weight gradient of the one layer that is so large


def _is_large(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.numel() >= LARGEST


def test_there_is_one_forward_and_one_backward_pass(build: Build, batches: Batches) -> None:
    learner = build(NETWORK)
    learner.open_heads(1)
    passes = {"forward": 0, "backward": 0}

    def count(which: str) -> None:
        passes[which] += 1

    learner.trunk.module.register_forward_hook(lambda *_: count("forward"))
    first = learner.trunk.pieces[0].parameter
    torch.autograd.graph.register_multi_grad_hook([first], lambda _: count("backward"))
    learner.learn(*batches(1)[0], head=0)
    assert passes == {"forward": 1, "backward": 1}


def test_a_step_waits_for_the_device_once_to_know_that_all_is_finite(
    build: Build, batches: Batches
) -> None:
    names = [name for name, _ in operations_of_a_step(build(compute={"kernel": "plain"}), batches)]
    assert [name for name in names if name in WAITS] == ["_local_scalar_dense"]
    seen = Operations()
    with seen:
        torch.ones(1).item()  # would have been seen
    assert "_local_scalar_dense" in [name for name, _ in seen.calls]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("kernel", ["plain", "compiled"])
def test_a_step_waits_for_the_gpu_once(build: Build, batches: Batches, kernel: str) -> None:
    learner = build(compute={"device": "cuda", "kernel": kernel})
    data = [(x.cuda(), y.cuda()) for x, y in batches(6)]
    for x, y in data[:3]:
        learner.learn(x, y, head=0)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            for x, y in data[3:]:
                learner.learn(x, y, head=0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == len(data[3:])
