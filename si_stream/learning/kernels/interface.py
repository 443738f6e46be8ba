"""What an update kernel is: one parameter's step, with the penalty and the path integral in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor


class Synapses(NamedTuple):
    """One parameter's flat views ``[n]``; None for what the consolidator does not keep."""

    weights: Tensor
    path_integral: Tensor | None = None
    importance: Tensor | None = None
    reference: Tensor | None = None


class AdamStep(NamedTuple):
    """Adam's numbers for one step: rate and ε hold the bias corrections already."""

    rate: float
    epsilon: float
    beta1: float
    beta2: float


class SgdStep(NamedTuple):
    rate: float


class Kernel(ABC):
    """See `plain` for what each does; all agree to rounding, and each with itself to the bit."""

    name: ClassVar[str]

    @abstractmethod
    def adam(
        self, at: Synapses, m: Tensor, v: Tensor, gradient: Tensor, step: AdamStep, strength: float
    ) -> None: ...

    @abstractmethod
    def sgd(self, at: Synapses, gradient: Tensor, step: SgdStep, strength: float) -> None: ...
