"""Synaptic Intelligence (Zenke, Poole & Ganguli, ICML 2017, Eq. 3–5).

While a task trains, the update kernel adds to ω_k what each weight contributed to the fall of
the *task* loss (Eq. 3) and pulls the weight back by the surrogate loss

    c Σ_k Ω_k (θ̃_k − θ_k)²                                        (Eq. 4; no ½)

When the task ends, what the weight contributed, per the way it went, becomes importance:

    Ω_k ← relu(Ω_k + ω_k / (Δ_k² + ξ)),   Δ_k = θ_k − θ̃_k         (Eq. 5)
    θ̃_k ← θ_k,   ω_k ← 0

θ̃ is the weights at the task's start, so Δ is the way gone in the task. The relu is on the
cumulative Ω, as in the authors' code.

Where tasks never cease, Ω only grows, until nothing new can be learned. With a decay δ > 0, which
the paper does not have, what a task made important counts 1 − δ as much after each later one:

    Ω_k ← relu((1 − δ) Ω_k + ω_k / (Δ_k² + ξ))

So Ω stays below the largest gain of a task over δ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from si_stream.learning.consolidators import Consolidator
from si_stream.learning.fisher import LogProbabilities
from si_stream.learning.kernels.interface import Synapses
from si_stream.learning.parameters import (
    IMPORTANCE,
    PATH_INTEGRAL,
    REFERENCE,
    WEIGHTS,
    ParameterGroup,
    Piece,
)


class SynapticIntelligence(Consolidator):
    """Args:
    strength: c ≥ 0. Libraries that write ½λΣΩ(θ−θ̃)² mean λ = 2c.
    damping: ξ > 0, which bounds ω/Δ² where a weight hardly moved.
    decay: δ, from 0 (none) to below 1: the share of Ω that is lost when a task ends.
    """

    name = "synaptic-intelligence"

    def __init__(self, strength: float, damping: float, decay: float = 0.0) -> None:
        super().__init__(strength)
        self.damping = damping
        self.decay = decay

    def attach(self, group: ParameterGroup) -> None:
        group.add(PATH_INTEGRAL)
        group.add(IMPORTANCE)
        group.add(REFERENCE).copy_(group[WEIGHTS])

    def synapses(self, piece: Piece) -> Synapses:
        views = piece.views
        return Synapses(views[WEIGHTS], views[PATH_INTEGRAL], views[IMPORTANCE], views[REFERENCE])

    def see(self, inputs: Tensor) -> None:
        pass

    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        for group in groups:
            self.consolidate(group)

    @torch.no_grad()
    def consolidate(self, group: ParameterGroup) -> None:
        theta, reference = group[WEIGHTS], group[REFERENCE]
        omega, importance = group[PATH_INTEGRAL], group[IMPORTANCE]
        delta = theta - reference
        if self.decay and (delta.any() or omega.any()):
            importance.mul_(1.0 - self.decay)
        importance.add_(omega / (delta.square() + self.damping)).relu_()
        reference.copy_(theta)
        omega.zero_()

    def surrogate_loss(self, group: ParameterGroup) -> Tensor:
        away = group[REFERENCE] - group[WEIGHTS]
        return self.strength * torch.dot(group[IMPORTANCE], away.square())
