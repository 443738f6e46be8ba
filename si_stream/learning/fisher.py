"""The diagonal of the Fisher information: how much each weight matters to what a network says.

    F_k = E_x Σ_c p(c|x) (∂ log p(c|x) / ∂θ_k)²

Invariant: it is the true one, whose labels are the network's own. The expectation over them is
exact: a draw of labels would add its noise to importance that is kept for good, and the labels of
the data would give the empirical Fisher, which vanishes where they are predicted surely and grows
where they are not. It costs a backward pass for each output of each sample, at a boundary alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from si_stream.learning.parameters import WEIGHTS, ParameterGroup

LogProbabilities = Callable[[Tensor], Tensor]
"""Of the outputs of the task's head that are open, ``[B, C]``, for inputs ``[B, *input_shape]``;
as the network predicts, without dropout."""


def diagonal_fisher(
    groups: Sequence[ParameterGroup], inputs: Tensor, log_probabilities: LogProbabilities
) -> list[Tensor]:
    """Of each group, in the layout of its buffers; the mean over the inputs ``[B, *input_shape]``.

    Sample by sample, so that no more than one gradient lies beside the weights, and any network
    can be measured.
    """
    fishers = [torch.zeros_like(group[WEIGHTS]) for group in groups]
    pieces = [(p, f) for group, f in zip(groups, fishers, strict=True) for p in group.pieces]
    parameters = [piece.parameter for piece, _ in pieces]
    for x in torch.split(inputs, 1):
        (log_p_C,) = log_probabilities(x)
        for log_p, p in zip(log_p_C, log_p_C.detach().exp().tolist(), strict=True):
            gradients = torch.autograd.grad(log_p, parameters, retain_graph=True, allow_unused=True)
            for (piece, fisher), gradient in zip(pieces, gradients, strict=True):
                if gradient is not None:
                    g = gradient.reshape(-1)
                    place = fisher[piece.start : piece.start + piece.size]
                    place.addcmul_(g, g, value=p / len(inputs))
    return fishers
