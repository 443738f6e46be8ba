"""What keeps old tasks: the interface of every consolidator, and the one that keeps nothing.

A consolidator owns buffers in each `ParameterGroup`. The update kernel reads from them the
penalty (importance, reference) and adds to them the path integral; the consolidator itself acts
when a task ends, and where it changes the objective. Invariant: at the end of a task of which
nothing was learned, nothing changes. So importance decays only where something else was learned: in
the trunk and the head of the task that ends, and not in the heads of the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from si_stream.learning.fisher import LogProbabilities
from si_stream.learning.kernels.interface import Synapses
from si_stream.learning.options import ConsolidatorOptions, ModelOptions
from si_stream.learning.parameters import WEIGHTS, ParameterGroup, Piece


class Consolidator(ABC):
    """Args:
    strength: c of Eq. 4, by which the surrogate loss is multiplied.
    """

    name: ClassVar[str]

    def __init__(self, strength: float) -> None:
        self.strength = strength

    @abstractmethod
    def attach(self, group: ParameterGroup) -> None:
        """Add the buffers to a group that is about to be trained for the first time; the trunk is
        the first one."""

    @abstractmethod
    def synapses(self, piece: Piece) -> Synapses:
        """What the update kernel reads and writes beside the weights of one parameter."""

    def rate(self, group: ParameterGroup) -> float:
        """What the learning rate is multiplied by in a group."""
        return 1.0

    def objective(
        self,
        loss: Tensor,
        x: Tensor,
        features_BF: Tensor,
        heads: Sequence[ParameterGroup],
        head: int,
    ) -> Tensor:
        """What a step descends, ``[]``: the loss of the task, or more than that.

        Args:
            x: inputs as the network takes them.
            features_BF: what the trunk makes of them while it trains.
            heads: of the network; ``head`` is the number of the active one.
        """
        return loss

    @abstractmethod
    def see(self, inputs: Tensor) -> None:
        """Inputs ``[B, *input_shape]`` of the model's dtype that were just learned."""

    @abstractmethod
    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        """The task has ended that the trunk and one head were learning, whose network this is."""

    @abstractmethod
    def surrogate_loss(self, group: ParameterGroup) -> Tensor:
        """The penalty at the present weights, a scalar ``[]`` on the group's device; where it is
        the sum of several, up to a number that moves no weight."""

    def state(self) -> dict[str, Tensor]:
        """What is kept beside the groups' buffers; the live tensors, not copies."""
        return {}


class NoConsolidator(Consolidator):
    """Plain fine-tuning: what SI is compared with."""

    name = "none"

    def attach(self, group: ParameterGroup) -> None:
        pass

    def synapses(self, piece: Piece) -> Synapses:
        return Synapses(piece.views[WEIGHTS])

    def see(self, inputs: Tensor) -> None:
        pass

    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        pass

    def surrogate_loss(self, group: ParameterGroup) -> Tensor:
        return torch.zeros((), device=group[WEIGHTS].device)


def build_consolidator(
    options: ConsolidatorOptions, model: ModelOptions, device: torch.device
) -> Consolidator:
    from si_stream.learning.distillation import LearningWithoutForgetting
    from si_stream.learning.elastic_weights import ElasticWeights, OnlineElasticWeights
    from si_stream.learning.reservoir import Reservoir
    from si_stream.learning.slow_trunk import SlowTrunk
    from si_stream.learning.synaptic_intelligence import SynapticIntelligence

    if options.kind == "none":
        return NoConsolidator(0.0)
    if options.kind == "lwf":
        return LearningWithoutForgetting(options.strength)
    if options.kind == "slow-trunk":
        return SlowTrunk(options.trunk_rate)
    if options.kind in ("ewc", "online-ewc"):
        elastic = ElasticWeights if options.kind == "ewc" else OnlineElasticWeights
        reservoir = Reservoir(options.fisher_samples, model, device)
        return elastic(options.strength, options.decay, reservoir)
    return SynapticIntelligence(options.strength, options.damping, options.decay)
