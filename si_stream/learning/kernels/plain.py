"""The update, written with whole tensors: the oracle of every other kernel, on any device.

A kernel takes one parameter's flat views, all ``[n]``, and its gradient g of the *task* loss
alone, and does in this order

    g̃ = g + 2cΩ(θ − θ̃)        the surrogate loss's gradient, analytically (Eq. 4)
    Δθ = the optimiser's step for g̃
    ω ← ω − g·Δθ               with the step really taken (Eq. 3)

Without a penalty or a path integral their views are None and their lines fall away.
"""

from __future__ import annotations

from torch import Tensor

from si_stream.learning.kernels.interface import AdamStep, Kernel, SgdStep, Synapses


def penalised(gradient: Tensor, at: Synapses, strength: float) -> Tensor:
    """g̃ of Eq. 4: the gradient of the task loss and the surrogate loss together."""
    if at.importance is None or at.reference is None:
        return gradient
    return gradient + 2.0 * strength * at.importance * (at.weights - at.reference)


def take(step: Tensor, gradient: Tensor, at: Synapses) -> None:
    """θ ← θ + Δθ, and ω with what rounding made of Δθ."""
    moved = at.weights + step
    if at.path_integral is not None:
        at.path_integral.sub_(gradient * (moved - at.weights))
    at.weights.copy_(moved)


def adam(
    at: Synapses,
    m: Tensor,
    v: Tensor,
    gradient: Tensor,
    rate: Tensor | float,
    epsilon: Tensor | float,
    beta1: float,
    beta2: float,
    strength: float,
) -> None:
    """One step of Adam (Kingma & Ba 2014, end of §2: the corrections are in the rate)."""
    total = penalised(gradient, at, strength)
    m.mul_(beta1).add_(total, alpha=1.0 - beta1)
    v.mul_(beta2).addcmul_(total, total, value=1.0 - beta2)
    take(-rate * m / (v.sqrt() + epsilon), gradient, at)


def sgd(at: Synapses, gradient: Tensor, rate: Tensor | float, strength: float) -> None:
    take(-rate * penalised(gradient, at, strength), gradient, at)


class PlainKernel(Kernel):
    name = "plain"

    def adam(
        self, at: Synapses, m: Tensor, v: Tensor, gradient: Tensor, step: AdamStep, strength: float
    ) -> None:
        adam(at, m, v, gradient, step.rate, step.epsilon, step.beta1, step.beta2, strength)

    def sgd(self, at: Synapses, gradient: Tensor, step: SgdStep, strength: float) -> None:
        sgd(at, gradient, step.rate, strength)
