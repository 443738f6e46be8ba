"""Learning without Forgetting (Li & Hoiem, ECCV 2016): old answers are kept, not old weights.

When a task begins, the network as it is then is kept beside the one that learns. What its old
heads answer on the new task's inputs is learned along with the new labels:

    L = L_task + λ Σ_h H(softmax(z'_h / T), softmax(z_h / T)),   T = 2

z'_h and z_h are the logits of old head h, of the kept network without dropout and of the one that
learns; H is the cross-entropy, its mean over the batch. The authors let old heads move as well;
here a step moves the trunk and the active head alone, as with every other consolidator. So a head
that all tasks share answers for the old ones and learns the new. A step costs a second forward
pass of the trunk, and more with every old head.

Invariant: the kept network changes when a task ends, and never while one is learned. What a module
of one's own keeps beside its weights, such as running means, is not kept twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from si_stream.learning.consolidators import NoConsolidator
from si_stream.learning.fisher import LogProbabilities
from si_stream.learning.networks import OpenHead
from si_stream.learning.parameters import REFERENCE, WEIGHTS, ParameterGroup

TEMPERATURE = 2.0
OLD_OUTPUTS = "old_outputs"


class LearningWithoutForgetting(NoConsolidator):
    """Args:
    strength: λ ≥ 0, the weight of the old answers; the authors' is 1.
    """

    name = "lwf"

    def __init__(self, strength: float) -> None:
        super().__init__(strength)
        self.trunk: ParameterGroup | None = None

    def attach(self, group: ParameterGroup) -> None:
        group.add(REFERENCE).copy_(group[WEIGHTS])
        if self.trunk is None:
            self.trunk = group
        else:  # [C] bool: the outputs that it had when a task of its own ended
            none = torch.zeros(_open_outputs(group.module).shape, dtype=torch.bool)
            group.buffers[OLD_OUTPUTS] = none.to(group[WEIGHTS].device)

    @torch.no_grad()
    def end_task(
        self, groups: Sequence[ParameterGroup], log_probabilities: LogProbabilities
    ) -> None:
        for group in groups:
            if not torch.equal(group[REFERENCE], group[WEIGHTS]):  # something was learned
                group[REFERENCE].copy_(group[WEIGHTS])
                if group is not self.trunk:
                    group[OLD_OUTPUTS].copy_(_open_outputs(group.module))

    def objective(
        self,
        loss: Tensor,
        x: Tensor,
        features_BF: Tensor,
        heads: Sequence[ParameterGroup],
        head: int,
    ) -> Tensor:
        for number, outputs, old_BC in self.old_answers(x, heads):
            weights: dict[str, Tensor] = dict(heads[number].module.named_parameters())
            if number != head:
                weights = {name: weight.detach() for name, weight in weights.items()}
            logits_BC = functional_call(heads[number].module, weights, features_BF)
            answers_BC = logits_BC.index_select(1, outputs) / TEMPERATURE
            loss = loss + self.strength * functional.cross_entropy(answers_BC, old_BC)
        return loss

    @torch.no_grad()
    def old_answers(
        self, x: Tensor, heads: Sequence[ParameterGroup]
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Of each old head its number, which outputs it had, and how probable the kept network
        calls them at the temperature ``[B, outputs]``."""
        old = {number: group[OLD_OUTPUTS].nonzero().flatten() for number, group in enumerate(heads)}
        if not any(map(len, old.values())):
            return
        assert self.trunk is not None
        self.trunk.module.eval()
        try:
            features_BF = functional_call(self.trunk.module, _kept(self.trunk), x)
        finally:
            self.trunk.module.train()
        for number, outputs in old.items():
            if len(outputs):
                group = heads[number]
                logits_BC = functional_call(group.module, _kept(group), features_BF)
                old_BC = logits_BC.index_select(1, outputs) / TEMPERATURE
                yield number, outputs, functional.softmax(old_BC, 1)


def _kept(group: ParameterGroup) -> dict[str, Tensor]:
    return {p.name: p.views[REFERENCE].view(p.parameter.shape) for p in group.pieces}


def _open_outputs(head: nn.Module) -> Tensor:
    """Of each output of a head, whether it is open, ``[C]``."""
    if isinstance(head, OpenHead):
        return head.is_open
    assert isinstance(head, nn.Linear)
    return torch.ones(head.out_features, dtype=torch.bool)
