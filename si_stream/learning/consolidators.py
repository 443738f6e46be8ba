"""What keeps old tasks: the interface of every consolidator, and the one that keeps nothing.

A consolidator owns buffers in each `ParameterGroup`. The update kernel reads from them the
penalty (importance, reference) and adds to them the path integral; the consolidator itself acts
only when a task ends. Invariant: consolidating a group of which no weight has moved since the last
time changes nothing. So importance decays only where something else was learned: in the trunk and
the head of the task that ends, and not in the heads of the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from si_stream.learning.kernels.interface import Synapses
from si_stream.learning.options import ConsolidatorOptions
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
        """Add the buffers to a group that is about to be trained for the first time."""

    @abstractmethod
    def synapses(self, piece: Piece) -> Synapses:
        """What the update kernel reads and writes beside the weights of one parameter."""

    @abstractmethod
    def consolidate(self, group: ParameterGroup) -> None:
        """The task has ended."""

    @abstractmethod
    def surrogate_loss(self, group: ParameterGroup) -> Tensor:
        """The penalty at the present weights, a scalar ``[]`` on the group's device."""


class NoConsolidator(Consolidator):
    """Plain fine-tuning: what SI is compared with."""

    name = "none"

    def attach(self, group: ParameterGroup) -> None:
        pass

    def synapses(self, piece: Piece) -> Synapses:
        return Synapses(piece.views[WEIGHTS])

    def consolidate(self, group: ParameterGroup) -> None:
        pass

    def surrogate_loss(self, group: ParameterGroup) -> Tensor:
        return torch.zeros((), device=group[WEIGHTS].device)


def build_consolidator(options: ConsolidatorOptions) -> Consolidator:
    from si_stream.learning.synaptic_intelligence import SynapticIntelligence

    if options.kind == "none":
        return NoConsolidator(0.0)
    return SynapticIntelligence(options.strength, options.damping, options.decay)
