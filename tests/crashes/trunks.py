"""A trunk of one's own, as `model.network.module` brings it: its statistics and what it draws are
part of what must survive."""

from __future__ import annotations

from torch import nn


def with_batch_norm() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 6)
    )
