"""Optimisers: Adam and plain gradient descent, one step count for all groups of a learner.

The count is shared, as in the authors' code, so a head opened late takes the bias correction of
the trunk's count.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor

from si_stream.learning.consolidators import Consolidator
from si_stream.learning.kernels.interface import AdamStep, Kernel, SgdStep
from si_stream.learning.options import OptimiserOptions
from si_stream.learning.parameters import FIRST_MOMENT, SECOND_MOMENT, ParameterGroup, Piece


class Optimiser(ABC):
    def __init__(self, options: OptimiserOptions) -> None:
        self.options = options
        self.learning_rate = options.learning_rate
        self.steps = 0

    def begin_step(self) -> None:
        """Once a batch, before its groups are updated."""
        self.steps += 1

    def update(self, group: ParameterGroup, consolidator: Consolidator, kernel: Kernel) -> None:
        """Move each parameter that the loss reached, by the gradient that `backward` left."""
        rate = consolidator.rate(group)
        for piece in group.pieces:
            gradient = piece.parameter.grad
            if gradient is not None:
                self._move(piece, gradient.reshape(-1), consolidator, kernel, rate)

    @abstractmethod
    def _move(
        self,
        piece: Piece,
        gradient: Tensor,
        consolidator: Consolidator,
        kernel: Kernel,
        rate: float,
    ) -> None:
        """``rate`` multiplies the learning rate."""

    @abstractmethod
    def attach(self, group: ParameterGroup) -> None:
        """Add what is kept for each weight to a group that is about to be trained."""

    @abstractmethod
    def end_task(self, groups: Iterable[ParameterGroup]) -> None:
        """Forget what `keep_over_boundary` does not keep."""


class Adam(Optimiser):
    """Adam (Kingma & Ba 2014); see `OptimiserOptions` for where ε goes and what is kept."""

    def begin_step(self) -> None:
        super().begin_step()
        options = self.options
        first = 1.0 - options.beta1**self.steps
        second = math.sqrt(1.0 - options.beta2**self.steps)
        # With ε added after the correction, √v/second + ε = (√v + ε·second) / second.
        before = options.epsilon_placement == "before-correction"
        self._step = AdamStep(
            rate=self.learning_rate * second / first,
            epsilon=options.epsilon if before else options.epsilon * second,
            beta1=options.beta1,
            beta2=options.beta2,
        )

    def _move(
        self,
        piece: Piece,
        gradient: Tensor,
        consolidator: Consolidator,
        kernel: Kernel,
        rate: float,
    ) -> None:
        m, v = piece.views[FIRST_MOMENT], piece.views[SECOND_MOMENT]
        synapses = consolidator.synapses(piece)
        step = self._step if rate == 1.0 else self._step._replace(rate=rate * self._step.rate)
        kernel.adam(synapses, m, v, gradient, step, consolidator.strength)

    def attach(self, group: ParameterGroup) -> None:
        group.add(FIRST_MOMENT)
        group.add(SECOND_MOMENT)

    def end_task(self, groups: Iterable[ParameterGroup]) -> None:
        if self.options.keep_over_boundary == "all":
            return
        for group in groups:
            group[FIRST_MOMENT].zero_()
            group[SECOND_MOMENT].zero_()
        if self.options.keep_over_boundary == "nothing":
            self.steps = 0


class GradientDescent(Optimiser):
    """θ ← θ − ηg̃, with nothing to keep over a boundary."""

    def _move(
        self,
        piece: Piece,
        gradient: Tensor,
        consolidator: Consolidator,
        kernel: Kernel,
        rate: float,
    ) -> None:
        step = SgdStep(rate * self.learning_rate)
        kernel.sgd(consolidator.synapses(piece), gradient, step, consolidator.strength)

    def attach(self, group: ParameterGroup) -> None:
        pass

    def end_task(self, groups: Iterable[ParameterGroup]) -> None:
        pass


def build_optimiser(options: OptimiserOptions) -> Optimiser:
    return Adam(options) if options.kind == "adam" else GradientDescent(options)
