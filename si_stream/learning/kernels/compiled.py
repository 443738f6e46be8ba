"""The plain update through `torch.compile`: one pass over memory on a GPU.

Compiling takes seconds at a start and needs a compiler, so a CPU has `fused` instead.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from si_stream.learning.kernels import plain
from si_stream.learning.kernels.interface import AdamStep, Kernel, SgdStep, Synapses


@cache
def _compiled(function: Any) -> Any:
    return torch.compile(function, dynamic=True)


def _variable(number: float) -> Tensor:
    """As a tensor: a plain number that changes with every step would compile anew each time."""
    return torch.tensor(number, dtype=torch.float64)


class CompiledKernel(Kernel):
    name = "compiled"

    def adam(
        self, at: Synapses, m: Tensor, v: Tensor, gradient: Tensor, step: AdamStep, strength: float
    ) -> None:
        rate, epsilon = _variable(step.rate), _variable(step.epsilon)
        _compiled(plain.adam)(at, m, v, gradient, rate, epsilon, step.beta1, step.beta2, strength)

    def sgd(self, at: Synapses, gradient: Tensor, step: SgdStep, strength: float) -> None:
        _compiled(plain.sgd)(at, gradient, _variable(step.rate), strength)
