"""Copies of a state: what checkpoints are written from while learning goes on.

Invariant: nothing of a copy changes when the state that it was taken of does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from si_stream.evaluation.holdout import HoldoutSet
from si_stream.evaluation.measures import Measures
from si_stream.settings import Settings
from si_stream.state import Identity, Ledger, State


class StateCopy(NamedTuple):
    """Everything of a state that a checkpoint holds; holdout rows and portraits that are drawn are
    shared, for none changes."""

    identity: Identity
    learning: dict[str, Any]
    arithmetic: dict[str, Any]
    ledger: Ledger
    measures: dict[str, Measures]
    tensors: dict[str, Tensor]
    holdouts: dict[str, HoldoutSet]


class Space:
    """Memory for one copy after another: a fresh page costs more than copying into an old one."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def copy(self, state: State) -> StateCopy:
        """A copy of the state as it is now; the one before, made in this space, is lost."""
        live, settled = state.tensors(), state.settled()
        self._tensors = {
            name: self._copied(name, tensor)
            for name, tensor in live.items()
            if name not in settled  # of others no space is kept, or the next copy would write there
        }
        return StateCopy(
            identity=state.identity,
            learning=learning_settings(state.settings),
            arithmetic=arithmetic(state),
            ledger=state.ledger.copied(),
            measures={name: measures.copied() for name, measures in state.measures().items()},
            tensors=self._tensors | settled,
            holdouts=dict(state.holdouts.sets),
        )

    def _copied(self, name: str, tensor: Tensor) -> Tensor:
        space = self._tensors.get(name)
        if space is None or space.shape != tensor.shape or space.dtype != tensor.dtype:
            space = torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format)
        return space.copy_(tensor)


def learning_settings(settings: Settings) -> dict[str, Any]:
    """What may be changed on purpose in the life of a model, and is recorded when it is."""
    return {
        "optimiser": settings.optimiser.model_dump(),
        "consolidator": settings.consolidator.model_dump(),
        "detection": settings.detection.model_dump(mode="json"),
    }


def arithmetic(state: State) -> dict[str, Any]:
    """What the bits of the weights depend on beside the stream and the settings."""
    return {
        "torch": torch.__version__,
        "device": device_name(state.main.learner.device),
        "threads": torch.get_num_threads(),
        "kernel": state.main.learner.kernel.name,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
