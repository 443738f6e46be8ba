"""Snapshots: what a predictor needs to serve, in one safetensors file with a JSON manifest in it.

What was published later is newer: in a higher epoch, or in the same one under a higher number,
whatever its step, for a rollback and a rewind go on at a lower one. Invariant: a file under its
final name is whole, and a reader sees the newest whole one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from si_stream.boundaries.choice import Likeness
from si_stream.checkpoints import files
from si_stream.checkpoints.versions import newer, news_in
from si_stream.errors import CorruptCheckpoint, NewerFormat
from si_stream.evaluation.measures import Measures
from si_stream.learning.options import ModelOptions

logger = logging.getLogger(__name__)
SUFFIX = ".safetensors"
FORMAT: Literal["si-stream-snapshot/1"] = "si-stream-snapshot/1"
PORTRAITS = "portraits."
LIMIT_BYTES = 4 * 1024 * 1024 * 1024
"""Of one that somebody else has written: 10⁹ weights."""


class Version(NamedTuple):
    """What a snapshot is called. After a rewind the steps behind it come again in the same epoch,
    so which of two snapshots is newer is told by `published`."""

    epoch: int
    step: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.step}"


class ServedTask(BaseModel):
    """A task that predictions can be asked for; its open labels, or None where they are fixed. Its
    number is that of its column in the accuracy matrix; None in snapshots of older versions."""

    name: str
    number: NonNegativeInt | None = None
    head: NonNegativeInt
    classes: tuple[str, ...] | None
    labels: list[int] | None = None
    samples: int
    holdout_accuracy: float | None
    holdout_samples: int


class ServedChoice(BaseModel):
    """How the task of an input that names none is chosen: see `Chooser`."""

    temperature: float
    fitted_samples: int


class SnapshotManifest(BaseModel):
    """Members that are not known are passed over, so that a predictor goes on beside a newer
    learner; but for those of the model, without which its weights may mean something else."""

    format: Literal["si-stream-snapshot/1"] = FORMAT
    epoch: int
    step: int
    written_seconds: float
    model: ModelOptions
    tasks: list[ServedTask]
    active_task: str | None
    position: dict[int, tuple[int, int]]
    samples: int
    tracks: dict[str, Measures]
    choice: ServedChoice | None = None
    """None where there is nothing to choose, or nothing to choose by."""

    @property
    def version(self) -> Version:
        return Version(self.epoch, self.step)

    @property
    def numbers(self) -> list[int]:
        """Of the tasks, each its column; a task without outputs has one, and is not among them."""
        return [place if one.number is None else one.number for place, one in enumerate(self.tasks)]


class _Header(BaseModel):
    """What safetensors leaves to others, of its header."""

    metadata: dict[str, str] = Field(alias="__metadata__")


class Snapshot(NamedTuple):
    manifest: SnapshotManifest
    weights: dict[str, Tensor]
    portraits: Mapping[int, Likeness] = MappingProxyType({})
    """By the place of the task in the manifest."""


def encode(snapshot: Snapshot) -> bytes:
    portraits = {
        f"{PORTRAITS}{place}.{name}": tensor
        for place, portrait in snapshot.portraits.items()
        for name, tensor in portrait.tensors().items()
    }
    manifest = {"manifest": snapshot.manifest.model_dump_json()}
    return save(snapshot.weights | portraits, manifest)


def decode(data: bytes, source: str) -> Snapshot:
    """Raises:
    CorruptCheckpoint: it is no snapshot.
    NewerFormat: its format, or its model, is of a newer version.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        header = _Header.model_validate_json(data[8 : 8 + length])
        manifest = SnapshotManifest.model_validate_json(header.metadata["manifest"])
        tensors = load(data)
        weights = {name: t for name, t in tensors.items() if not name.startswith(PORTRAITS)}
        return Snapshot(manifest, weights, _portraits(tensors))
    except (ValueError, KeyError, TypeError, SafetensorError, ValidationError) as error:
        if isinstance(error, ValidationError) and (news := news_in(error, FORMAT)):
            raise NewerFormat(
                f"{newer(source, news, FORMAT)}; start the predictor of that version"
            ) from error
        reason = str(error).splitlines()[0]
        raise CorruptCheckpoint(f"{source} is not a snapshot that can be read: {reason}") from error


def _portraits(tensors: Mapping[str, Tensor]) -> dict[int, Likeness]:
    """Raises:
    KeyError: a part of one is missing.
    """
    parts: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(PORTRAITS):
            place, _, part = name.removeprefix(PORTRAITS).partition(".")
            parts.setdefault(int(place), {})[part] = tensor
    return {place: Likeness.from_tensors(parts[place]) for place in sorted(parts)}


class SnapshotStore:
    """The snapshots below one directory, ``epochs/EPOCH/snapshots/NUMBER-SHA256.safetensors``."""

    def __init__(self, directory: Path) -> None:
        self.epochs = directory / "epochs"

    def publish(self, snapshot: Snapshot, keep: int) -> Path:
        """Commit a snapshot into its epoch, and remove all but the newest ``keep`` there.

        Files are numbered in the order of publication, for two snapshots of one step may differ
        in what is known of them.

        Raises:
            CheckpointError: it cannot be written; the one before stays the newest.
        """
        manifest = snapshot.manifest
        directory = self.epochs / f"{manifest.epoch:06d}" / "snapshots"
        try:
            files.make_directory(directory)
            number = files.next_number(directory)
        except OSError as error:
            raise files.cannot_write(directory, error) from error
        data = encode(snapshot)
        path = files.commit_file(directory, files.name(number, files.sha256(data), SUFFIX), data)
        with suppress(OSError):  # it is published; the next time they are removed with the others
            for old in list(files.newest_first(directory))[keep:]:
                old.unlink(missing_ok=True)
        return path

    def newest_path(self) -> Path | None:
        """The newest by name alone, cheap enough to ask for many times a second."""
        return next(self.newest_first(), None)

    def newest(self) -> Snapshot | None:
        """The newest that can be read; one that cannot is logged and passed over."""
        for path in self.newest_first():
            try:
                return read(path)
            except (CorruptCheckpoint, NewerFormat) as error:
                logger.warning("passing over a snapshot: %s", error)
        return None

    def newest_first(self) -> Iterator[Path]:
        """Every snapshot, by name alone: the highest epoch's last one first."""
        for epoch in sorted(self.epochs.glob("[0-9]" * 6), reverse=True):
            yield from files.newest_first(epoch / "snapshots")


class Published(NamedTuple):
    """The place of a snapshot in the order of publication; the higher is the newer."""

    epoch: int
    number: int


def published(path: Path) -> Published:
    """By the name of a snapshot's file.

    >>> path = "epochs/000002/snapshots/000000000017-{}.safetensors".format("0" * 64)
    >>> published(Path(path))
    Published(epoch=2, number=17)

    Raises:
        CorruptCheckpoint: it is not named like one.
    """
    return Published(int(path.parent.parent.name), _named(path)[0])


def read(path: Path, limit_bytes: int | None = None) -> Snapshot:
    """Raises:
    CorruptCheckpoint: it is not what its name says, larger than the limit, or no snapshot.
    NewerFormat: it is one of a newer version.
    """
    return decode(files.read_checked(path, _named(path)[1], limit_bytes), str(path))


def read_manifest(path: Path) -> SnapshotManifest:
    """What a snapshot says of itself, without its tensors; it is not compared with its digest.

    Raises:
        CorruptCheckpoint: it is no snapshot.
    """
    try:
        with files.open_regular(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if length > files.MANIFEST_LIMIT_BYTES:
                raise ValueError(f"its header is said to have {length} bytes")
            header = _Header.model_validate_json(file.read(length))
        return SnapshotManifest.model_validate_json(header.metadata["manifest"])
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptCheckpoint(f"{path} is not a snapshot that can be read: {reason}") from error


def _named(path: Path) -> tuple[int, str]:
    """Raises:
    CorruptCheckpoint: its name has no number and no digest.
    """
    named = files.parse_name(path)
    if named is None:
        raise CorruptCheckpoint(f"{path} is not named NUMBER-SHA256{SUFFIX}; it is no snapshot")
    return named
