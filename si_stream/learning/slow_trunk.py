"""A trunk that is slowed once the first task is learned: the simplest change of architecture.

Frozen (Razavian et al. 2014), it is the first task's, and later tasks learn a head on its features
alone; slowed (Donahue et al. 2014, Yosinski et al. 2014), it moves by a part of each step:

    Δθ ← ρ Δθ   for the weights of the trunk, from the second task on

Neither looks at which weight matters to which task. A head learns as ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from si_stream.learning.consolidators import NoConsolidator
from si_stream.learning.fisher import LogProbabilities
from si_stream.learning.parameters import ParameterGroup


class SlowTrunk(NoConsolidator):
    """Args:
    trunk_rate: ρ, from 0 (frozen) to 1 (fine-tuning).
    """

    name = "slow-trunk"

    def __init__(self, trunk_rate: float) -> None:
        super().__init__(0.0)
        self.trunk_rate = trunk_rate
        self.trunk: ParameterGroup | None = None
        self.has_learned = torch.tensor(False)
        self.is_slow = torch.tensor(False)

    def attach(self, group: ParameterGroup) -> None:
        self.trunk = self.trunk or group

    def rate(self, group: ParameterGroup) -> float:
        return self.trunk_rate if group is self.trunk and self.is_slow else 1.0

    def see(self, inputs: Tensor) -> None:
        self.has_learned.fill_(True)

    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        self.is_slow.copy_(self.has_learned)  # not by a task of which nothing was learned

    def state(self) -> dict[str, Tensor]:
        return {"has_learned": self.has_learned, "is_slow": self.is_slow}
