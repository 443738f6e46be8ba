"""A network that only predicts: the weights of a snapshot, and nothing kept for learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from si_stream.learning.layers import WideLinear
from si_stream.learning.networks import OpenHead, build_head, build_trunk, count_features, sizes
from si_stream.learning.options import ModelOptions
from si_stream.learning.parameters import WEIGHTS, ParameterGroup


def weights_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What predictions need of a `Learner.state`: no moments, no ω, Ω, θ̃, no generators."""
    return {
        name: tensor
        for name, tensor in state.items()
        if name.endswith(f".{WEIGHTS}") or ".module." in name
    }


class FrozenNetwork:
    """Args:
        model: the identity of the model that the weights belong to.
        weights: see `weights_of`.

    Raises:
        ValueError: the weights are of another network.
    """

    def __init__(self, model: ModelOptions, weights: Mapping[str, Tensor]) -> None:
        self.model = model
        _require_size(model, weights)
        trunk = build_trunk(model)
        features = count_features(trunk, model)
        heads = {name.split(".")[1] for name in weights if name.startswith("heads.")}
        modules = {"trunk": trunk}
        modules |= {f"heads.{n}": build_head(model, features, n) for n in range(len(heads))}
        for part, module in modules.items():
            prefix = f"{part}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            ParameterGroup(module).load_state(own)
            module.eval().requires_grad_(False)
        shared = [trunk] if model.network.kind == "module" else as_functions(trunk)
        self.entry = model.input_shape
        if model.network.kind == "mlp":  # flattened as they are copied in
            self.entry, shared = (math.prod(model.input_shape),), shared[1:]
        self.chains = [[*shared, *as_functions(modules[f"heads.{n}"])] for n in range(len(heads))]
        self.listed = [_labels_listed(modules[f"heads.{n}"]) for n in range(len(heads))]

    def probabilities(self, inputs: npt.NDArray[Any], head: int) -> npt.NDArray[Any]:
        """``[B, *input_shape]`` of the model's dtype → ``[B, outputs]``; a row adds up to 1.

        To the bit, the softmax of what the learner predicts for the same batch. Where labels are
        open, up to the highest that is open; one below it that is not has probability 0.
        """
        x = torch.empty(len(inputs), *self.entry)  # starts on 64 bytes, wherever the inputs do
        copy = x.numpy()
        if inputs.dtype == np.uint8:  # as `networks.scaled` does, in one operation
            np.divide(inputs.reshape(x.shape), 255, out=copy, dtype=copy.dtype)
        else:
            copy[:] = inputs.reshape(x.shape)
        for layer in self.chains[head]:  # nothing in here asks for a gradient
            x = layer(x)
        probabilities_BC: npt.NDArray[Any] = torch.softmax(x, 1).numpy()
        listed = self.listed[head]
        return probabilities_BC if listed is None else probabilities_BC[:, :listed].copy()


def _require_size(model: ModelOptions, weights: Mapping[str, Tensor]) -> None:
    """Before a network is made that is as large as the model says.

    Raises:
        ValueError: the weights are fewer.
    """
    if (made := sizes(model)) is None:
        return
    for name, tensor in weights.items():
        part = name.removesuffix(f".{WEIGHTS}")
        if part == name:
            continue
        size = made.trunk if part == "trunk" else made.head
        if tensor.numel() < size:
            raise ValueError(f"{name} has {tensor.numel()} numbers, and the model says {size}")
    if f"trunk.{WEIGHTS}" not in weights:
        raise ValueError("there are no weights of the trunk")


def _labels_listed(head: nn.Module) -> int | None:
    """How many labels there are up to the highest that is open; None where they are fixed."""
    if not isinstance(head, OpenHead):
        return None
    return 1 + max(head.is_open.nonzero().flatten().tolist(), default=-1)


def as_functions(module: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """The layers of a sequence, the usual ones as the bare operations that they come down to.

    Same operations, same bits; but at a batch of one, what a module and `linear` do around them
    takes longer than they do. A ReLU works in place, on what the layer before it has made.
    """
    if type(module) is nn.Sequential:
        return [layer for part in module for layer in as_functions(part)]
    if type(module) is nn.Linear:
        return [partial(torch.addmm, module.bias, mat2=module.weight.t())]
    if type(module) is WideLinear:
        small = partial(torch.addmm, module.bias, mat2=module.weight.t())
        return [lambda x: module(x) if module.is_large(x) else small(x)]
    if type(module) is OpenHead:
        logits = partial(torch.addmm, module.bias, mat2=module.weight.t())
        return [logits, partial(Tensor.masked_fill_, mask=~module.is_open, value=-math.inf)]
    if type(module) is nn.ReLU:
        return [torch.relu_]
    if type(module) is nn.Flatten:
        return [partial(torch.flatten, start_dim=1)]
    return [module]
