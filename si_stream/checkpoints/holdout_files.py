"""Holdout sets as the newest checkpoint has them, for those who only read: no state is loaded.

Invariant: of a checkpoint and of a file nothing is parsed that is not what its name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError
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
                text = files.read_checked(path / files.MANIFEST, named[1])
                name = _Named.model_validate_json(text).holdouts.get(task)
            except (CorruptCheckpoint, ValidationError):
                continue
            return None if name is None else self._directory / "holdouts" / Path(name).name
        return None

    def read(self, file: Path) -> tuple[Tensor, Tensor]:
        """Inputs ``[n, *input_shape]`` and labels ``[n]``.

        Raises:
            CorruptCheckpoint: it is not what its name says, or not there any more.
        """
        named = files.parse_name(file)
        if named is None:
            raise CorruptCheckpoint(f"{file.name!r} is no name of a holdout file")
        tensors = load(files.read_checked(file, named[1]))
        return tensors["inputs"], tensors["labels"]

    def _checkpoints(self) -> Iterator[Path]:
        epochs = (self._directory / "epochs").glob("[0-9]" * 6)
        for epoch in sorted(epochs, reverse=True):
            yield from files.newest_first(epoch / "checkpoints")
