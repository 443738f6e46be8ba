"""Holdout sets as the newest checkpoint has them, for those who only read: no state is loaded.

Invariant: of a checkpoint and of a file nothing is parsed that is not what its name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from si_stream.checkpoints import files
from si_stream.errors import CorruptCheckpoint


class _Named(BaseModel):
    """Of a manifest, what is asked for here."""

    holdouts: dict[str, str]


class HoldoutFiles:
    """Args:
    directory: of one model; it may not be there yet.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def newest(self, task: str) -> Path | None:
        """The file of a task's set, as the newest whole checkpoint has it; None without one."""
        for path in self._checkpoints():
            named = files.parse_name(path)
            assert named is not None
            try:
                text = files.read_checked(
                    path / files.MANIFEST, named[1], files.MANIFEST_LIMIT_BYTES
                )
                name = _Named.model_validate_json(text).holdouts.get(task)
            except (CorruptCheckpoint, ValidationError):
                continue
            return None if name is None else self._directory / "holdouts" / name
        return None

    def read(self, file: Path, limit_bytes: int) -> tuple[Tensor, Tensor]:
        """Inputs ``[n, *input_shape]`` and labels ``[n]``.

        Raises:
            CorruptCheckpoint: it is not what its name says, larger than the limit, not there any
                more, or elsewhere.
        """
        named = files.parse_name(file)
        if named is None or file.parent != self._directory / "holdouts":
            raise CorruptCheckpoint(f"{file} is no name of a holdout file")
        try:
            tensors = load(files.read_checked(file, named[1], limit_bytes))
            inputs, labels = tensors["inputs"], tensors["labels"]
        except (SafetensorError, KeyError) as error:
            raise CorruptCheckpoint(f"{file} is no holdout set: {error}") from error
        if labels.dtype != torch.int64 or labels.ndim != 1 or len(inputs) != len(labels):
            raise CorruptCheckpoint(f"{file} is no holdout set: its labels are not one an input")
        return inputs, labels

    def _checkpoints(self) -> Iterator[Path]:
        epochs = (self._directory / "epochs").glob("[0-9]" * 6)
        for epoch in sorted(epochs, reverse=True):
            yield from files.newest_first(epoch / "checkpoints")
