"""Synaptic Intelligence as CapyMOA has it: what each task adds to the importance is never below 0.

Zenke et al.'s code cuts off the sum over tasks instead, as `si_stream.learning` does. Invariant:
but for that it is the same.
"""

from __future__ import annotations

import torch

from si_stream.learning.learner import Learner
from si_stream.learning.parameters import IMPORTANCE, ParameterGroup
from si_stream.learning.synaptic_intelligence import SynapticIntelligence


class ReluByTask(SynapticIntelligence):
    """Ω ← Ω + relu(ω / (Δ² + ξ))."""

    @torch.no_grad()
    def consolidate(self, group: ParameterGroup) -> None:
        before = group[IMPORTANCE].clone()
        group[IMPORTANCE].zero_()
        super().consolidate(group)
        group[IMPORTANCE].add_(before)


def with_relu_by_task(learner: Learner) -> None:
    """From now on."""
    own = learner.consolidator
    assert isinstance(own, SynapticIntelligence)
    assert not own.decay  # of which nothing would come
    learner.consolidator = ReluByTask(own.strength, own.damping)
