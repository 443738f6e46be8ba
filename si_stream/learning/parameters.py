"""The parameters of one part of a network, as views into one contiguous buffer.

A part is the trunk that all tasks share, or one head. Its weights and every further number
that is kept for each weight (Adam's moments, ω, Ω, θ̃) lie in flat buffers of one layout, so
that copying, saving or consolidating a part is one operation, whatever its layers are.

Invariant: each parameter starts on 64 bytes in every buffer, and what lies between two of
them is and stays zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from si_stream.errors import SettingsError

ALIGNMENT_BYTES = 64

WEIGHTS = "weights"
FIRST_MOMENT = "first_moment"
SECOND_MOMENT = "second_moment"
PATH_INTEGRAL = "path_integral"
IMPORTANCE = "importance"
REFERENCE = "reference"


@dataclass(slots=True)
class Piece:
    """One parameter and its flat view ``[n]`` of each buffer."""

    name: str
    parameter: nn.Parameter
    start: int
    size: int
    views: dict[str, Tensor] = field(default_factory=dict)


class ParameterGroup:
    """All trainable parameters of a module, moved into one buffer that the module then uses.

    Args:
        module: its parameters keep their values. Those that need no gradient stay where they
            are, as part of what the module keeps beside its weights.

    Raises:
        SettingsError: the parameters are not all of one dtype, float32 or float64, and on one
            device.

    Example:
        >>> linear = nn.Linear(3, 2)
        >>> group = ParameterGroup(linear)
        >>> group[WEIGHTS].zero_()[:4]
        tensor([0., 0., 0., 0.])
        >>> linear.weight.abs().sum().item()
        0.0
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.pieces: list[Piece] = []
        end = 0
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                self.pieces.append(Piece(name, parameter, end, parameter.numel()))
                per_line = ALIGNMENT_BYTES // parameter.element_size()
                end += -(-parameter.numel() // per_line) * per_line
        dtype, device = _one_kind(self.pieces)
        self._new = partial(torch.zeros, end, dtype=dtype, device=device)
        self.buffers: dict[str, Tensor] = {}
        self.add(WEIGHTS)
        for piece in self.pieces:
            view = piece.views[WEIGHTS]
            view.copy_(piece.parameter.data.reshape(-1))
            piece.parameter.data = view.view(piece.parameter.shape)

    def add(self, name: str) -> Tensor:
        """A further buffer of zeros in the same layout."""
        self.buffers[name] = buffer = self._new()
        for piece in self.pieces:
            piece.views[name] = buffer[piece.start : piece.start + piece.size]
        return buffer

    def __getitem__(self, name: str) -> Tensor:
        return self.buffers[name]

    @property
    def size(self) -> int:
        """Parameters, the padding between them not counted."""
        return sum(piece.size for piece in self.pieces)

    def drop_gradients(self) -> None:
        """So that the next backward pass leaves its own, without adding or copying."""
        for piece in self.pieces:
            piece.parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Every buffer, and what else the module keeps: a batch norm's running mean, say, or
        parameters that need no gradient.

        The tensors are the live ones, not copies.
        """
        kept = dict(self.module.named_buffers())
        kept |= {n: p.data for n, p in self.module.named_parameters() if not p.requires_grad}
        return {**self.buffers, **{f"module.{name}": value for name, value in kept.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy a `state` of an equal group into this one; where it does not fit, nothing is.

        Raises:
            ValueError: it has other entries, or one of another shape or dtype.
        """
        copy_state(self.state(), state)


@torch.no_grad()
def copy_state(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Copy the given tensors into one's own, once all of them are seen to fit.

    Raises:
        ValueError: one is missing, unknown, or of another shape or dtype.
    """
    if own.keys() != given.keys():
        missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
        raise ValueError(f"the state lacks {missing} and has the unknown {unknown}")
    for name, tensor in own.items():
        here, there = _form(tensor), _form(given[name])
        if here != there:
            raise ValueError(f"{name}: expected {here}, found {there}")
    for name, tensor in own.items():
        tensor.copy_(given[name])


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def _one_kind(pieces: list[Piece]) -> tuple[torch.dtype, torch.device]:
    kinds = {(piece.parameter.dtype, piece.parameter.device) for piece in pieces}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise SettingsError(
            f"a module's weights must be of one dtype and on one device, these are {found}; "
            "move it with .to(dtype, device) first"
        )
    dtype, device = kinds.pop() if kinds else (torch.get_default_dtype(), torch.device("cpu"))
    if dtype not in (torch.float32, torch.float64):
        raise SettingsError(
            f"a module's weights must be float32 or float64, these are {dtype}; "
            "use .float(), and autocast for a faster forward pass"
        )
    return dtype, device
