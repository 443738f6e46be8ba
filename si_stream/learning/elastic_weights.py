"""Elastic Weight Consolidation (Kirkpatrick et al., PNAS 2017), and online (Schwarz et al., 2018).

When task t ends at the weights θ_t, the diagonal F_t of the Fisher information says how much each
weight matters to what the network says of the task's inputs. Each task adds a penalty of its own,

    c Σ_t Σ_k F_tk (θ_k − θ_tk)²                     (their ½λ is c: λ = 2c)

and these are, for each weight, one quadratic about the mean of the references, up to a number that
moves no weight:

    Σ_t F_t (θ − θ_t)² = Ω (θ − θ̃)² + const,   Ω = Σ_t F_t,   θ̃ = Σ_t F_t θ_t / Ω

So two running buffers hold all tasks exactly, and a step costs the same however many there were:

    Ω ← Ω + F_t,   θ̃ ← θ̃ + F_t / Ω (θ_t − θ̃)

Online EWC has one penalty for all tasks, about the newest weights, and forgets by γ = 1 − δ:

    Ω ← γ Ω + F_t,   θ̃ ← θ_t

A decay δ does the same to Ω in both. F_t is measured on a reservoir of the task's inputs, since a
stream's samples are gone when its task ends; and through the head of that task alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from si_stream.learning.consolidators import Consolidator
from si_stream.learning.fisher import LogProbabilities, diagonal_fisher
from si_stream.learning.kernels.interface import Synapses
from si_stream.learning.parameters import IMPORTANCE, REFERENCE, WEIGHTS, ParameterGroup, Piece
from si_stream.learning.reservoir import Reservoir


class ElasticWeights(Consolidator):
    """Args:
    strength: c ≥ 0, half of the authors' λ.
    decay: δ, from 0 (none) to below 1: the share of Ω that is lost when a task ends.
    reservoir: for the inputs of a task.
    """

    name: ClassVar[str] = "ewc"

    def __init__(self, strength: float, decay: float, reservoir: Reservoir) -> None:
        super().__init__(strength)
        self.decay = decay
        self.reservoir = reservoir

    def attach(self, group: ParameterGroup) -> None:
        group.add(IMPORTANCE)
        group.add(REFERENCE).copy_(group[WEIGHTS])

    def synapses(self, piece: Piece) -> Synapses:
        views = piece.views
        return Synapses(views[WEIGHTS], None, views[IMPORTANCE], views[REFERENCE])

    def see(self, inputs: Tensor) -> None:
        self.reservoir.see(inputs)

    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        if len(self.reservoir.held) == 0:  # nothing was learned
            return
        fishers = diagonal_fisher(groups, self.reservoir.held, log_probabilities)
        for group, fisher in zip(groups, fishers, strict=True):
            self.consolidate(group, fisher)
        self.reservoir.clear()

    @torch.no_grad()
    def consolidate(self, group: ParameterGroup, fisher: Tensor) -> None:
        theta, importance, reference = group[WEIGHTS], group[IMPORTANCE], group[REFERENCE]
        importance.mul_(1.0 - self.decay).add_(fisher)
        share = torch.where(importance > 0, fisher / importance, 1.0)  # of what matters now
        reference.lerp_(theta, share)

    def surrogate_loss(self, group: ParameterGroup) -> Tensor:
        away = group[REFERENCE] - group[WEIGHTS]
        return self.strength * torch.dot(group[IMPORTANCE], away.square())

    def state(self) -> dict[str, Tensor]:
        return self.reservoir.state()


class OnlineElasticWeights(ElasticWeights):
    name = "online-ewc"

    @torch.no_grad()
    def consolidate(self, group: ParameterGroup, fisher: Tensor) -> None:
        group[IMPORTANCE].mul_(1.0 - self.decay).add_(fisher)
        group[REFERENCE].copy_(group[WEIGHTS])
