"""A network that only predicts: the weights of a snapshot, and nothing kept for learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from si_stream.learning.networks import build_head, build_trunk, count_features, scaled
from si_stream.learning.options import ModelOptions
from si_stream.learning.parameters import WEIGHTS, ParameterGroup

CPU = torch.device("cpu")


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
        if model.network.kind == "mlp" and len(model.input_shape) == 1:
            shared = shared[1:]  # its inputs are flat already
        self.chains = [[*shared, *as_functions(modules[f"heads.{n}"])] for n in range(len(heads))]

    def probabilities(self, inputs: Tensor, head: int) -> Tensor:
        """``[B, *input_shape]`` of the model's dtype → ``[B, outputs]``; a row adds up to 1."""
        # No `inference_mode`: nothing here asks for a gradient. And `scaled` in one operation,
        # where that can be; at a batch of one, such calls are what costs.
        x = torch.div(inputs, 255) if inputs.dtype == torch.uint8 else scaled(inputs, CPU)
        for layer in self.chains[head]:
            x = layer(x)
        return torch.softmax(x, 1)


def as_functions(module: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """The layers of a sequence, the usual ones as the bare operations that they come down to.

    Same operations, same bits; but at a batch of one, what a module and `linear` do around them
    takes longer than they do. A ReLU works in place, on what the layer before it has made.
    """
    if type(module) is nn.Sequential:
        return [layer for part in module for layer in as_functions(part)]
    if type(module) is nn.Linear:
        return [partial(torch.addmm, module.bias, mat2=module.weight.t())]
    if type(module) is nn.ReLU:
        return [torch.relu_]
    if type(module) is nn.Flatten:
        return [partial(torch.flatten, start_dim=1)]
    return [module]
