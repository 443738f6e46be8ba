"""Networks: a trunk that all tasks share, and linear heads on its features.

The initial weights of the trunk and of each head come from generators of their own, keyed by
the seed and the head's number, so that they do not depend on what was learned or opened before.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from si_stream.errors import SettingsError
from si_stream.learning.layers import ChannelsLast, LazyWideLinear, WideLinear
from si_stream.learning.options import Initialisation, ModelOptions
from si_stream.learning.parameters import ALIGNMENT_BYTES

TRUNK, HEAD, DROPOUT, RESERVOIR = range(4)


def generator(seed: int, *purpose: int, device: torch.device | None = None) -> torch.Generator:
    """A generator keyed by the seed and a purpose, independent of every other."""
    state = np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator(device or "cpu").manual_seed(int(state >> np.uint64(1)))


@contextmanager
def numbers_from(source: torch.Generator) -> Iterator[None]:
    """Let PyTorch's global generator go on from ``source``, then give it back as it was.

    What draws from the global one (dropout, a module's own initialisation) so has numbers of its
    own: it depends on nobody else's, and moves nobody else's.
    """
    everyones = (
        torch.default_generator
        if source.device.type == "cpu"
        else torch.cuda.default_generators[torch.cuda.current_device()]
    )
    before = everyones.get_state()
    everyones.set_state(source.get_state())
    try:
        yield
    finally:
        source.set_state(everyones.get_state())
        everyones.set_state(before)


def mlp(input_shape: tuple[int, ...], hidden: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Flatten, then a ReLU layer for each width in ``hidden``, with dropout behind it if any."""

    def layer(inside: int, outside: int) -> list[nn.Module]:
        layers = [WideLinear(inside, outside), nn.ReLU()]
        return [*layers, nn.Dropout(dropout)] if dropout else layers

    widths = (int(np.prod(input_shape)), *hidden)
    layers = [part for n, m in pairwise(widths) for part in layer(n, m)]
    return nn.Sequential(nn.Flatten(), *layers)


def cifar_cnn(channels: int, dropout: bool) -> nn.Sequential:
    """The paper's network for split CIFAR-10/100 (Zenke et al. 2017, appendix)."""

    def block(inside: int, outside: int) -> list[nn.Module]:
        layers = [
            nn.Conv2d(inside, outside, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        return [*layers, nn.Dropout(0.25)] if dropout else layers

    layers = [*block(channels, 32), *block(32, 64), nn.Flatten(), LazyWideLinear(512), nn.ReLU()]
    return ChannelsLast(*layers, *([nn.Dropout(0.5)] if dropout else []))


class Sizes(NamedTuple):
    """Parameters of a trunk, and of each head on it."""

    trunk: int
    head: int


def sizes(model: ModelOptions) -> Sizes | None:
    """Of the network that a model says it has, without making it; None of a module of one's own.

    >>> sizes(ModelOptions(input_shape=(28, 28), outputs=2))
    Sizes(trunk=266752, head=514)

    Raises:
        ValueError: it does not take the model's inputs.
    """
    network = model.network
    if network.kind == "module":
        return None
    if network.kind == "mlp":
        widths = (math.prod(model.input_shape), *network.hidden)
        trunk, features = sum((n + 1) * m for n, m in pairwise(widths)), widths[-1]
    else:
        channels, *sides = model.input_shape
        left = [((side - 2) // 2 - 2) // 2 for side in sides]  # of an image's height and width
        if len(left) != 2 or min(left) < 1:
            raise ValueError(f"the paper's network takes no inputs of {list(model.input_shape)}")
        features = 512
        kernels = sum((9 * n + 1) * m for n, m in pairwise((channels, 32, 32, 64, 64)))
        trunk = kernels + (64 * math.prod(left) + 1) * features
    return Sizes(trunk, (features + 1) * model.width)


def initialise(module: nn.Module, how: Initialisation) -> None:
    """Weights as named, biases zero (the authors' choice for every layer)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if how == "zero":
                nn.init.zeros_(layer.weight)
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def build_trunk(model: ModelOptions) -> nn.Module:
    """The trunk of the settings, ``[B, *input_shape]`` → ``[B, features]``, on the CPU.

    Raises:
        SettingsError: a module of one's own cannot be made or is no `torch.nn.Module`,
            or the trunk does not take the input's shape.
    """
    network = model.network
    with numbers_from(generator(model.seed, TRUNK)):
        if network.kind == "module":
            return _imported(network.module)
        if network.kind == "mlp":
            trunk = mlp(model.input_shape, network.hidden, network.hidden_dropout)
        else:
            trunk = cifar_cnn(model.input_shape[0], network.dropout)
        count_features(trunk, model)
        initialise(trunk, "glorot-uniform")
    return trunk


def split_at_dropout(trunk: nn.Module) -> tuple[nn.Module, nn.Module | None]:
    """The layers that compute the same to test and to train, and those from the first dropout on.

    The parts share the trunk's layers. Without dropout there is no second one.
    """
    layers = list(trunk.children())
    dropouts = (n for n, layer in enumerate(layers) if isinstance(layer, nn.Dropout))
    if (first := next(dropouts, None)) is None:
        return trunk, None
    return type(trunk)(*layers[:first]), type(trunk)(*layers[first:])


class OpenHead(nn.Linear):
    """A linear head that has room for ``width`` outputs, of which some are open.

    It computes the logits of all; `among_open` leaves out those that are not, and so gives them no
    share in a softmax, a loss or a gradient.

    Args:
        outputs: how many are open from the start.

    Example:
        >>> head = OpenHead(features=2, width=4, outputs=1)
        >>> head.open(torch.tensor([2]))
        >>> head.among_open(torch.zeros(1, 4))
        tensor([[0., -inf, 0., -inf]])
    """

    is_open: Tensor  # [C] bool

    def __init__(self, features: int, width: int, outputs: int) -> None:
        super().__init__(features, width)
        self.register_buffer("is_open", torch.arange(width) < outputs)

    def open(self, labels_B: Tensor) -> None:
        self.is_open.index_fill_(0, labels_B, True)

    def among_open(self, logits_BC: Tensor) -> Tensor:
        """A copy in which the logits of outputs that are not open are −∞."""
        return logits_BC.masked_fill(~self.is_open, -math.inf)


def build_head(model: ModelOptions, features: int, number: int) -> nn.Linear:
    """Head ``number`` (from 0): ``[B, features]`` → logits ``[B, width]``."""
    with numbers_from(generator(model.seed, HEAD, number)):
        head = (
            nn.Linear(features, model.width)
            if model.labels == "fixed"
            else OpenHead(features, model.width, model.outputs)
        )
        initialise(head, model.network.head_initialisation)
    return head


def scaled(inputs: Tensor, device: torch.device) -> Tensor:
    """Inputs as a network takes them: uint8 divided by 255, anything else as it is.

    The copy that this makes, or one made for this alone, starts on 64 bytes: the bits of a matrix
    product depend on where its operands lie.
    """
    x = inputs.to(device, non_blocking=True)
    if x.dtype == torch.uint8:
        return x.to(torch.get_default_dtype()).div_(255)
    x = x.to(torch.get_default_dtype()).contiguous()
    return x.clone() if x.data_ptr() % ALIGNMENT_BYTES else x


def count_features(trunk: nn.Module, model: ModelOptions) -> int:
    """How many features the trunk makes of one input (seen by trying).

    Raises:
        SettingsError: it does not take the shape, or makes no ``[B, features]`` of it.
    """
    was_training = trunk.training
    try:
        with torch.no_grad():
            features_BF = trunk.eval()(torch.zeros(2, *model.input_shape))
    except Exception as error:  # whatever a module of one's own may raise
        raise SettingsError(
            f"model.network does not take inputs of shape {list(model.input_shape)}: {error}; "
            "set model.input_shape to what the network takes"
        ) from error
    finally:
        trunk.train(was_training)
    made = list(features_BF.shape) if isinstance(features_BF, Tensor) else type(features_BF)
    if not isinstance(features_BF, Tensor) or features_BF.ndim != 2 or len(features_BF) != 2:
        raise SettingsError(
            f"the trunk makes {made} of 2 inputs; it must make [2, features]: "
            "end it with torch.nn.Flatten()"
        )
    return int(features_BF.shape[1])


def _imported(path: str | None) -> nn.Module:
    module_name, _, function_name = (path or "").partition(":")
    if not module_name or not function_name:
        raise SettingsError(
            f"model.network.module is {path!r}; it must read 'package.module:function'"
        )
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"model.network.module {path!r} cannot be imported: {error}; "
            "is its package installed beside si-stream?"
        ) from error
    try:
        trunk = function()
    except Exception as error:
        raise SettingsError(f"{path} raised {type(error).__name__}: {error}; mend it") from error
    if not isinstance(trunk, nn.Module):
        raise SettingsError(
            f"{path} returned {type(trunk).__name__}; it must return a torch.nn.Module"
        )
    return trunk
