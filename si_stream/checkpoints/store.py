"""The store of checkpoints: everything that is needed to go on learning, in numbered epochs.

    DIRECTORY/epochs/EPOCH/checkpoints/NUMBER-SHA256/manifest.json
                                                     state.safetensors
    DIRECTORY/holdouts/TASK-SHA256.safetensors       shared by checkpoints, written once

Invariant: a learner writes only into the epoch that it claimed, and a reader takes the newest
checkpoint of the highest epoch that holds a whole one. So a learner that was superseded can only
write where nobody looks. The SHA-256 in a checkpoint's name is its manifest's, the manifest holds
those of the files, and each is checked before anything is parsed.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from si_stream.checkpoints import files
from si_stream.errors import CheckpointError, CorruptCheckpoint
from si_stream.evaluation.holdout import HoldoutSet
from si_stream.evaluation.measures import Measures
from si_stream.state import Identity, Ledger, State

logger = logging.getLogger(__name__)
MANIFEST, STATE = "manifest.json", "state.safetensors"


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["si-stream-checkpoint/1"] = "si-stream-checkpoint/1"
    epoch: int
    number: int
    written_seconds: float
    identity: Identity
    learning: dict[str, Any]
    arithmetic: dict[str, Any]
    ledger: Ledger
    measures: dict[str, Measures]
    state_sha256: str
    holdouts: dict[str, str]
    """Of each task, the name of its file in the store's `holdouts`."""


class Checkpoint(NamedTuple):
    manifest: Manifest
    tensors: dict[str, Tensor]
    holdouts: dict[str, HoldoutSet]


class CheckpointStore:
    """Args:
    directory: of one model; made where it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.epochs = directory / "epochs"
        self.holdouts = directory / "holdouts"
        self.refused = 0
        self._written: dict[str, tuple[int, str]] = {}

    def claim_epoch(self) -> int:
        """Begin the next epoch, which nobody else has or will.

        Raises:
            CheckpointError: the directory cannot be written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for directory in (self.epochs, self.holdouts):
                files.make_directory(directory)
            while True:
                epoch = 1 + self._last_epoch()
                try:
                    self._of(epoch).mkdir()
                except FileExistsError:
                    continue  # Another learner was quicker: the one after it.
                if epoch == self._last_epoch():
                    break
            files.fsync_directory(self.epochs)
        except OSError as error:
            raise files.cannot_write(self.directory, error) from error
        self._remove_empty_epochs(epoch)
        with suppress(FileNotFoundError):  # where others remove the same
            for directory in (self.holdouts, *self.epochs.glob("*/*")):
                files.remove_left_overs(directory)
        return epoch

    def require(self, epoch: int) -> None:
        """Raises:
        CheckpointError: the epoch is gone, so a later one has begun.
        """
        if not self._of(epoch).is_dir():
            raise CheckpointError(
                f"epoch {epoch} is gone from {self.epochs}: another learner has taken over this "
                "model; stop one of them"
            )

    def write(self, state: State, epoch: int, written_seconds: float) -> tuple[Path, int]:
        """Commit a checkpoint; its path and size in bytes.

        Raises:
            CheckpointError: it cannot be written; the one before stays the newest.
        """
        self.require(epoch)
        directory = self._of(epoch) / "checkpoints"
        temporary = directory / f"{files.TEMPORARY}{secrets.token_hex(8)}"
        try:
            files.make_directory(directory)
            temporary.mkdir()
            tensors = save(state.tensors())
            manifest = Manifest(
                epoch=epoch,
                number=files.next_number(directory),
                written_seconds=written_seconds,
                identity=state.identity,
                learning=learning_settings(state),
                arithmetic=arithmetic(state),
                ledger=state.ledger,
                measures=state.measures(),
                state_sha256=files.sha256(tensors),
                holdouts={
                    name: self._hold(name, held) for name, held in state.holdouts.sets.items()
                },
            )
            text = manifest.model_dump_json(indent=1).encode()
            files.write(temporary / STATE, tensors)
            files.write(temporary / MANIFEST, text)
            files.fsync_directory(temporary)
            final = directory / files.name(manifest.number, files.sha256(text))
            temporary.rename(final)
            files.fsync_directory(directory)
        except OSError as error:
            raise files.cannot_write(directory, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return final, len(tensors) + len(text)

    def newest(self) -> Checkpoint | None:
        """The newest that is whole; one that is not is logged, counted and passed over."""
        for path in self._newest_first():
            try:
                return self.read(path)
            except CorruptCheckpoint as error:
                self.refused += 1
                logger.warning("passing over a checkpoint: %s", error)
        return None

    def read(self, path: Path) -> Checkpoint:
        """Raises:
        CorruptCheckpoint: it is not what its name says, or of a format not known here.
        """
        named = files.parse_name(path)
        if named is None:
            raise CorruptCheckpoint(f"{path} is not named NUMBER-SHA256; it is no checkpoint")
        text = files.read_checked(path / MANIFEST, named[1])
        try:
            manifest = Manifest.model_validate_json(text)
            tensors = load(files.read_checked(path / STATE, manifest.state_sha256))
            held = {task: self._held(name) for task, name in manifest.holdouts.items()}
            return Checkpoint(manifest, tensors, held)
        except (ValidationError, SafetensorError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptCheckpoint(f"{path} cannot be read: {reason}") from error

    def prune(self, epoch: int, keep: int) -> None:
        """Remove all but the newest ``keep`` checkpoints up to an epoch, and what was only theirs.

        Where a later epoch has begun, holdout files are left to the learner that writes there.
        """
        mine = [path for path in self._newest_first() if int(path.parts[-3]) <= epoch]
        for path in mine[keep:]:
            shutil.rmtree(path, ignore_errors=True)
        self._remove_empty_epochs(epoch)
        if self._last_epoch() > epoch:
            return
        needed = {name for path in mine[:keep] for name in self._holdouts_of(path)}
        for file in files.newest_first(self.holdouts):
            if file.name not in needed:
                file.unlink(missing_ok=True)

    def _remove_empty_epochs(self, epoch: int) -> None:
        """Of those before an epoch, all that hold neither a checkpoint nor the newest snapshot."""
        epochs = self._epochs()
        served = next((e for e in epochs if any(files.newest_first(e / "snapshots"))), None)
        for old in epochs:
            has_checkpoints = any(files.newest_first(old / "checkpoints"))
            if int(old.name) < epoch and old != served and not has_checkpoints:
                shutil.rmtree(old, ignore_errors=True)

    def _of(self, epoch: int) -> Path:
        return self.epochs / f"{epoch:06d}"

    def _epochs(self) -> list[Path]:
        return sorted(self.epochs.glob("[0-9]" * 6), reverse=True)

    def _last_epoch(self) -> int:
        return max((int(path.name) for path in self._epochs()), default=0)

    def _newest_first(self) -> Iterator[Path]:
        for epoch in self._epochs():
            yield from files.newest_first(epoch / "checkpoints")

    def _hold(self, task: str, held: HoldoutSet) -> str:
        """The file of a holdout set; written only if it has grown, for a set only ever grows."""
        size, name = self._written.get(task, (0, ""))
        if size != len(held) or not (self.holdouts / name).exists():
            data = save({"inputs": held.inputs, "labels": held.labels})
            name = files.name(len(held), files.sha256(data), ".safetensors")
            if not (self.holdouts / name).exists():
                files.commit_file(self.holdouts, name, data)
            self._written[task] = (len(held), name)
        return name

    def _held(self, name: str) -> HoldoutSet:
        path = self.holdouts / Path(name).name
        named = files.parse_name(path)
        if named is None:
            raise CorruptCheckpoint(f"{name!r} is no name of a holdout file")
        return HoldoutSet(**load(files.read_checked(path, named[1])))

    def _holdouts_of(self, path: Path) -> Iterator[str]:
        try:
            text = (path / MANIFEST).read_bytes()
            yield from Manifest.model_validate_json(text).holdouts.values()
        except (OSError, ValidationError):
            return


def learning_settings(state: State) -> dict[str, Any]:
    """What may be changed on purpose in the life of a model, and is recorded when it is."""
    settings = state.settings
    return {
        "optimiser": settings.optimiser.model_dump(),
        "consolidator": settings.consolidator.model_dump(),
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
