"""Benchmarks of the learner's train step alone: no stream, no service around it.

Both sides are given the same uint8 batches and divide them by 255 themselves. One thread works and
never waits, so its CPU time is taken: on a busy machine it says more than the clock.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from time import process_time
from types import FunctionType, ModuleType

import torch
from torch import Tensor, nn

from benchmarks.images import make_images
from benchmarks.plain_loop import PlainLoop
from benchmarks.rounds import Effort, Figure, alternate, ratio
from si_stream.learning.layers import WideLinear
from si_stream.learning.learner import Learner
from si_stream.learning.networks import cifar_cnn, mlp
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    NetworkOptions,
    OptimiserOptions,
)

BATCHES = 50  # to go round in

Step = Callable[[Tensor, Tensor], object]


def si_step_ratio_permuted(effort: Effort) -> Figure:
    """SI's step (test, train, ω, penalty) over a plain one with fused Adam: permuted MNIST.

    784-2000-2000-10, batches of 256. The baseline is in seconds a step.
    """
    return _step_ratio(effort, _model((2000, 2000), batch_size=256), rounds=20, steps=5)


def si_step_ratio_split(effort: Effort) -> Figure:
    """The same: split MNIST, 784-256-256-10, batches of 64."""
    return _step_ratio(effort, _model((256, 256), batch_size=64), rounds=100, steps=25)


def heads_step_ratio(effort: Effort) -> Figure:
    """A step of a learner of 100 heads over one of 2, 784-256-256-10, batches of 64.

    Each batch is another head's, in turn. The baseline is in seconds a step.
    """
    model = _model((256, 256), batch_size=64)

    def each_in_turn(count: int) -> Step:
        learner = consolidated_learner(model)
        learner.open_heads(count)
        turn = cycle(range(count))
        return lambda x, y: learner.learn(x, y, next(turn))

    steps = effort.amount(25)
    batches = cycle(_batches(model))
    pairs = alternate(
        effort,
        100,
        _timed(each_in_turn(100), batches, steps),
        _timed(each_in_turn(2), batches, steps),
    )
    return ratio(pairs)


def channels_last_ratio(effort: Effort) -> Figure:
    """Split CIFAR's trunk, forward and backward, over the same layers channels first.

    Batches of 256. The baseline is in seconds.
    """
    ours = cifar_cnn(3, dropout=True)
    images = torch.rand(effort.amount(256), 3, 32, 32)
    ours(images)  # its first layer behind the convolutions is as wide as they make it
    return _layers_ratio(effort, ours, nn.Sequential(*ours), images)


def wide_linear_ratio(effort: Effort) -> Figure:
    """Permuted MNIST's trunk, 784-2000-2000, forward and backward, over PyTorch's linear layers.

    Batches of 256. The baseline is in seconds.
    """
    ours = mlp((784,), (2000, 2000), dropout=0)
    plain = nn.Sequential(*(_plain(layer) for layer in ours))
    return _layers_ratio(effort, ours, plain, torch.rand(effort.amount(256), 784))


def _plain(layer: nn.Module) -> nn.Module:
    """PyTorch's layer in place of one of ours."""
    if isinstance(layer, WideLinear):
        return nn.Linear(layer.in_features, layer.out_features)
    return layer


def _layers_ratio(effort: Effort, ours: nn.Module, plain: nn.Module, inputs: Tensor) -> Figure:
    def cost(layers: nn.Module) -> float:
        started = process_time()
        torch.autograd.grad(layers(inputs).sum(), list(layers.parameters()))
        return process_time() - started

    return ratio(alternate(effort, 20, partial(cost, ours), partial(cost, plain)))


def state_bytes_per_parameter(effort: Effort) -> Figure:
    """Bytes of all tensors that training keeps for a parameter, gradients included.

    Counted are the tensors that the learner holds after a step, and the gradients at the moment
    when the backward pass has left them. 784-256-256-10. The baseline is a plain loop's: weights,
    gradients and Adam's two moments.
    """
    effort.tick(0, 1)
    model = _model((256, 256), batch_size=64)
    batch = next(_batches(model))
    learner, plain = consolidated_learner(model), PlainLoop(model)
    ours = _bytes_per_parameter(learner, partial(learner.learn, head=0), *batch)
    baseline = _bytes_per_parameter(plain, plain.step, *batch)
    effort.tick(1, 1)
    return Figure(ours, "bytes", baseline, spread=0.0)


def consolidated_learner(model: ModelOptions) -> Learner:
    """With a task behind it, so that there is a penalty."""
    learner = Learner(
        model, OptimiserOptions(), ConsolidatorOptions(), ComputeOptions(device="cpu")
    )
    for inputs, labels in list(_batches(model))[:3]:
        learner.learn(inputs, labels, head=0)
    learner.consolidate(head=0)
    return learner


def _step_ratio(effort: Effort, model: ModelOptions, rounds: int, steps: int) -> Figure:
    learner, plain = consolidated_learner(model), PlainLoop(model)
    batches, steps = cycle(_batches(model)), effort.amount(steps)
    ours = _timed(partial(learner.learn, head=0), batches, steps)
    baseline = _timed(plain.step, batches, steps)
    return ratio(alternate(effort, rounds, ours, baseline))


def _timed(step: Step, batches: Iterator[tuple[Tensor, Tensor]], steps: int) -> Callable[[], float]:
    def round_of_steps() -> float:
        chosen = [next(batches) for _ in range(steps)]
        started = process_time()
        for inputs, labels in chosen:
            step(inputs, labels)
        return (process_time() - started) / steps

    return round_of_steps


def _model(hidden: tuple[int, ...], batch_size: int) -> ModelOptions:
    return ModelOptions(
        input_shape=(28, 28),
        outputs=10,
        batch_size=batch_size,
        network=NetworkOptions(hidden=hidden),
    )


def _batches(model: ModelOptions) -> Iterator[tuple[Tensor, Tensor]]:
    dataset = make_images(train=BATCHES * model.batch_size, test=10)
    inputs = torch.split(torch.from_numpy(dataset.train_images), model.batch_size)
    labels = torch.split(torch.from_numpy(dataset.train_labels), model.batch_size)
    return zip(inputs, labels, strict=True)


def _bytes_per_parameter(trainer: object, step: Step, inputs: Tensor, labels: Tensor) -> float:
    parameters = [held for held in _tensors_of(trainer) if isinstance(held, torch.nn.Parameter)]
    storages: dict[int, int] = {}

    def count(tensor: Tensor | None) -> None:
        if tensor is not None:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()

    hooks = [
        parameter.register_post_accumulate_grad_hook(lambda reached: count(reached.grad))  # type: ignore[no-untyped-call]
        for parameter in parameters
    ]
    step(inputs, labels)
    for hook in hooks:
        hook.remove()
    for tensor in _tensors_of(trainer):
        count(tensor)
    return sum(storages.values()) / sum(parameter.numel() for parameter in parameters)


def _tensors_of(root: object) -> list[Tensor]:
    """Every tensor that an object holds, however deep; not what its code refers to."""
    found, seen, left = [], set[int](), [root]
    while left:
        held = left.pop()
        if id(held) in seen or isinstance(held, type | ModuleType | FunctionType):
            continue
        seen.add(id(held))
        if isinstance(held, Tensor):
            found.append(held)
        left += gc.get_referents(held)
    return found
