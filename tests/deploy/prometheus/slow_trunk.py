"""A trunk of one's own that takes its time, as a device that is shared or hangs does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import nn

FILE_VARIABLE = "SLOW_TRUNK_FILE"
STUCK = "stuck"


class SlowTrunk(nn.Module):
    """Waits before each batch for as many seconds as a file says, or for as long as it is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 16)
        self.path = Path(os.environ[FILE_VARIABLE])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        while (text := self.path.read_text()) == STUCK:
            time.sleep(0.1)
        time.sleep(float(text or 0))
        features: torch.Tensor = torch.relu(self.layer(inputs.flatten(1)))
        return features


def trunk() -> nn.Module:
    return SlowTrunk()
