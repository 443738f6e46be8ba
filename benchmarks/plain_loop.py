"""What SI Stream is compared with: a training loop as anyone writes it, without memory of tasks.

The same network, loss and batches as the learner's, with PyTorch's fastest Adam (``fused``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from si_stream.learning.networks import build_head, build_trunk, count_features
from si_stream.learning.options import ModelOptions


class PlainLoop:
    def __init__(self, model: ModelOptions) -> None:
        trunk = build_trunk(model)
        self.network = nn.Sequential(trunk, build_head(model, count_features(trunk, model), 0))
        self.optimizer = Adam(self.network.parameters(), lr=1e-3, fused=True)

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """Train on inputs ``[B, *input_shape]`` uint8 and labels ``[B]``."""
        loss = functional.cross_entropy(self.network(inputs.float().div_(255)), labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
