"""The store of checkpoints: everything that is needed to go on learning, in numbered epochs.

    DIRECTORY/epochs/EPOCH/checkpoints/NUMBER-SHA256/manifest.json
                                                     state.safetensors
    DIRECTORY/holdouts/TASK-SHA256.safetensors       shared by checkpoints, written once

Invariant: a learner writes only into the epoch that it claimed, and a reader takes the newest
checkpoint of the highest epoch that holds a whole one. So a learner that was superseded can only
write where nobody looks, however late it wakes up. The directory of an epoch is made when that is
claimed and never again: where it is gone, nothing is written in its place. The SHA-256 in a
checkpoint's name is its manifest's, the manifest holds those of the files, and each is checked
before anything is parsed.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from si_stream.brokers.interface import Position
from si_stream.checkpoints import files
from si_stream.checkpoints.copies import StateCopy
from si_stream.checkpoints.versions import newer, news_in
from si_stream.errors import CheckpointError, CorruptCheckpoint, NewerFormat, Superseded
from si_stream.evaluation.holdout import HoldoutSet
from si_stream.evaluation.measures import Measures
from si_stream.state import Identity, Ledger

logger = logging.getLogger(__name__)
MANIFEST, STATE = files.MANIFEST, "state.safetensors"
_EPOCH = re.compile(r"[0-9]{6}")


FORMAT: Literal["si-stream-checkpoint/1"] = "si-stream-checkpoint/1"


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["si-stream-checkpoint/1"] = FORMAT
    epoch: int
    number: int
    written_seconds: float
    at_boundary: bool
    """Whether no task was active: a place to roll back to."""
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


class _Kept(NamedTuple):
    """What pruning must know of a checkpoint; None is what cannot be known."""

    boundary: tuple[int, str] | None
    """Of one written at a boundary: at which, and the SHA-256 of the state, as after a rollback
    another boundary has the number. A stream at rest leaves both as they are."""
    holdouts: tuple[str, ...] | None
    position: dict[int, Position] | None

    @classmethod
    def of(cls, manifest: Manifest) -> _Kept:
        number = manifest.ledger.consolidations
        boundary = (number, manifest.state_sha256) if manifest.at_boundary else None
        return cls(boundary, tuple(manifest.holdouts.values()), manifest.ledger.position)


_DAMAGED = _Kept(None, (), None)
_NEWER = _Kept(None, None, None)


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
        self._kept: dict[Path, _Kept] = {}

    def claim_epoch(self) -> int:
        """Begin the next epoch, which nobody else has or will.

        Raises:
            CheckpointError: the directory cannot be written.
        """
        try:
            for directory in (self.directory, self.epochs, self.holdouts):
                files.make_directory(directory)
            while True:
                epoch = 1 + self._last_epoch()
                try:
                    self._of(epoch).mkdir()
                except FileExistsError:
                    continue  # Another learner was quicker: the one after it.
                if epoch == self._last_epoch():
                    break
            files.sync(self.epochs)
            self._remove_empty_epochs(epoch)
            with suppress(FileNotFoundError):  # where others remove the same
                for directory in (self.directory, self.holdouts, *self.epochs.glob("*/*")):
                    files.remove_left_overs(directory)
        except OSError as error:
            raise files.cannot_write(self.directory, error) from error
        return epoch

    def require(self, epoch: int) -> None:
        """Raises:
        Superseded: a later epoch has begun.
        CheckpointError: the epoch's directory is gone, or cannot be seen.
        """
        if (last := self._last_epoch()) > epoch:
            raise Superseded(
                f"another learner has taken over this model (it writes epoch {last} in "
                f"{self.epochs}, this one wrote epoch {epoch}), or it was rolled back; nothing is "
                "lost, but of two learners stop one"
            )
        if last < epoch:
            raise CheckpointError(
                f"{self._of(epoch)}, which this learner writes into, is gone: it or one above it "
                "was removed, emptied or moved, or its mount is lost; put it back, or start again "
                "with what is there"
            )

    def write(self, copy: StateCopy, epoch: int, written_seconds: float) -> tuple[Path, int]:
        """Commit a checkpoint; its path and size in bytes.

            1. commit the holdout files that are new       (by the steps of `files`)
            2. write the tensors, then the manifest, into a directory with a temporary name
            3. fsync both, and that directory
            4. rename it
            5. fsync the epoch's directory of checkpoints

        Whatever fails before the end of 5, the one before is the newest, and what was written is a
        left-over; a power loss may take back 4.

        Raises:
            CheckpointError: it cannot be written; the one before stays the newest.
        """
        directory = self._of(epoch) / "checkpoints"
        temporary = files.temporary_in(directory)
        try:
            files.make_directory(directory, parents=False)
            held = {name: self._hold(name, held) for name, held in copy.holdouts.items()}  # 1
            temporary.mkdir()  # 2
            manifest = Manifest(
                epoch=epoch,
                number=files.next_number(directory),
                written_seconds=written_seconds,
                at_boundary=copy.ledger.tasks.active is None,
                identity=copy.identity,
                learning=copy.learning,
                arithmetic=copy.arithmetic,
                ledger=copy.ledger,
                measures=copy.measures,
                state_sha256=files.write_tensors(temporary / STATE, copy.tensors),  # 3
                holdouts=held,
            )
            text = manifest.model_dump_json(indent=1).encode()
            files.write(temporary / MANIFEST, text)
            files.sync(temporary)
            size = sum(file.stat().st_size for file in temporary.iterdir())
            final = directory / files.name(manifest.number, files.sha256(text))
            temporary.rename(final)  # 4
            files.sync(directory)  # 5
        except OSError as error:
            raise files.cannot_write(directory, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._kept[final] = _Kept.of(manifest)
        return final, size

    def newest(self) -> Checkpoint | None:
        """The newest that is whole; one that is not is logged, counted and passed over.

        Raises:
            NewerFormat: a newer version has written it. An older one in its place would undo what
                was learned since.
        """
        for path in self.newest_first():
            try:
                return self.read(path)
            except CorruptCheckpoint as error:
                self.refused += 1
                logger.warning("passing over a checkpoint: %s", error)
        return None

    def find(self, name: str) -> Path:
        """The checkpoint of a `label`.

        Raises:
            CorruptCheckpoint: there is none.
        """
        for path in self.newest_first():
            if label(path) == name:
                return path
        raise CorruptCheckpoint(
            f"there is no checkpoint {name!r} in {self.directory}; `si-stream checkpoints` shows "
            "those there are, as EPOCH/NUMBER"
        )

    def read(self, path: Path) -> Checkpoint:
        """Raises:
        CorruptCheckpoint: it is not what its name says.
        NewerFormat: it has what is not known here.
        """
        manifest = self.manifest(path)
        try:
            tensors = load(files.read_checked(path / STATE, manifest.state_sha256))
            held = {task: self._held(name) for task, name in manifest.holdouts.items()}
            return Checkpoint(manifest, tensors, held)
        except (SafetensorError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error

    def manifest(self, path: Path) -> Manifest:
        """Of a checkpoint whose other files may be damaged.

        Raises:
            CorruptCheckpoint: it is not what its name says.
            NewerFormat: it has what is not known here.
        """
        named = files.parse_name(path)
        if named is None:
            raise CorruptCheckpoint(f"{path} is not named NUMBER-SHA256; it is no checkpoint")
        text = files.read_checked(path / MANIFEST, named[1], files.MANIFEST_LIMIT_BYTES)
        try:
            return Manifest.model_validate_json(text, extra="forbid")  # at any depth
        except ValidationError as error:
            if news := news_in(error, FORMAT):
                raise NewerFormat(
                    f"{newer(path, news, FORMAT)}; start the newer version again, or go back to a "
                    "checkpoint from before it with `si-stream rollback`"
                ) from error
            raise _unreadable(path, error) from error

    def files_of(self, path: Path, manifest: Manifest) -> dict[Path, str]:
        """Beside the manifest, the files that a checkpoint needs, and the SHA-256 of each.

        Raises:
            CorruptCheckpoint: a name in it is none of a file.
        """
        held = dict(self._file_of(name) for name in manifest.holdouts.values())
        return {path / STATE: manifest.state_sha256, **held}

    def prune(self, epoch: int, keep: int, keep_at_boundaries: int) -> dict[int, Position]:
        """Remove all checkpoints up to an epoch but the newest ``keep`` and, of those before, the
        newest ``keep_at_boundaries`` that were written at a boundary, of each boundary the newest;
        and what was only theirs.

        One of a newer version that was rolled back past stays while it is among the newest
        ``keep``, with all holdout files, as it may need any. Where a later epoch has begun, these
        are left to the learner that writes there.

        Returns the `oldest_position`.

        Raises:
            CheckpointError: the directory cannot be listed, or something not be removed.
        """
        mine = [path for path in self.newest_first() if int(path.parts[-3]) <= epoch]
        if not mine:
            return {}  # The directory has just gone: nothing is known to be needless.
        known = {path: self._known(path) for path in mine}
        newest_at = {known[path].boundary: path for path in reversed(mine)}
        newest_at.pop(None, None)
        older = [path for path in mine[keep:] if newest_at.get(known[path].boundary) == path]
        stay = mine[:keep] + older[:keep_at_boundaries]
        for path in set(mine).difference(stay):
            files.remove(path)
            self._kept.pop(path, None)
        held = [known[path].holdouts for path in stay]
        try:
            self._remove_empty_epochs(epoch)
            if self._last_epoch() <= epoch and None not in held:
                needed = {name for names in held for name in names or ()}
                for file in files.newest_first(self.holdouts):
                    if file.name not in needed:
                        file.unlink(missing_ok=True)
        except OSError as error:
            raise files.cannot_write(self.directory, error) from error
        return _lowest(known[path] for path in mine[:keep])

    def oldest_position(self, keep: int) -> dict[int, Position]:
        """Before which none of the newest ``keep`` checkpoints goes on, of each partition that all
        of them know. After a rollback that is not the position of the one written first."""
        return _lowest(self._known(path) for path in islice(self.newest_first(), keep))

    def _remove_empty_epochs(self, epoch: int) -> None:
        """Of those before an epoch, all that hold neither a checkpoint nor the newest snapshot."""
        epochs = self._epochs()
        served = next((e for e in epochs if any(files.newest_first(e / "snapshots"))), None)
        for old in epochs:
            has_checkpoints = any(files.newest_first(old / "checkpoints"))
            if int(old.name) < epoch and old != served and not has_checkpoints:
                files.remove(old)

    def _of(self, epoch: int) -> Path:
        return self.epochs / f"{epoch:06d}"

    def _epochs(self) -> list[Path]:
        """The highest first; unlike `Path.glob`, it does not take what it may not see for nothing.

        Raises:
            CheckpointError: they cannot be listed.
        """
        try:
            found = [path for path in self.epochs.iterdir() if _EPOCH.fullmatch(path.name)]
        except FileNotFoundError:  # not there yet, or gone
            return []
        except OSError as error:
            raise files.cannot_list(self.epochs, error) from error
        return sorted(found, reverse=True)

    def _last_epoch(self) -> int:
        return max((int(path.name) for path in self._epochs()), default=0)

    def newest_first(self) -> Iterator[Path]:
        """Every checkpoint, by name alone.

        Raises:
            CheckpointError: they cannot be listed.
        """
        for epoch in self._epochs():
            try:
                yield from files.newest_first(epoch / "checkpoints")
            except OSError as error:
                raise files.cannot_list(epoch, error) from error

    def _hold(self, task: str, held: HoldoutSet) -> str:
        """The file of a holdout set; written only if it has grown, for a set only ever grows."""
        size, name = self._written.get(task, (0, ""))
        if size != len(held) or not (self.holdouts / name).exists():
            data = save({"inputs": held.inputs, "labels": held.labels})
            name = files.name(len(held), files.sha256(data), ".safetensors")
            if (self.holdouts / name).exists():
                files.sync(self.holdouts)  # who renamed it may have died before this
            else:
                files.commit_file(self.holdouts, name, data)
            self._written[task] = (len(held), name)
        return name

    def _held(self, name: str) -> HoldoutSet:
        return HoldoutSet(**load(files.read_checked(*self._file_of(name))))

    def _file_of(self, name: str) -> tuple[Path, str]:
        path = self.holdouts / name
        named = files.parse_name(path)
        if named is None or path.name != name:  # a name may lead anywhere
            raise CorruptCheckpoint(f"{name!r} is no name of a holdout file")
        return path, named[1]

    def _known(self, path: Path) -> _Kept:
        """Read once; a damaged one is looked at again."""
        if path not in self._kept:
            try:
                self._kept[path] = _Kept.of(self.manifest(path))
            except CorruptCheckpoint:
                return _DAMAGED
            except NewerFormat:
                self._kept[path] = _NEWER
        return self._kept[path]


def _lowest(kept: Iterable[_Kept]) -> dict[int, Position]:
    positions = [one.position for one in kept if one.position is not None]
    shared = set.intersection(*map(set, positions)) if positions else ()
    return {partition: min(one[partition] for one in positions) for partition in shared}


def label(path: Path) -> str:
    """EPOCH/NUMBER, by which people name a checkpoint."""
    named = files.parse_name(path)
    return f"{int(path.parts[-3])}/{named[0] if named else path.name}"


def _unreadable(path: Path, error: Exception) -> CorruptCheckpoint:
    return CorruptCheckpoint(f"{path} cannot be read: {str(error).splitlines()[0]}")
