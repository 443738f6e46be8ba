"""Whether a checkpoint is whole, found out as long as there is time for it.

Invariant: a file is hashed once in a process, in small pieces, and nothing of it is loaded: however
large a model is, this takes no memory, and no longer than it was given.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

from si_stream.checkpoints.store import CheckpointStore, Manifest
from si_stream.errors import CheckpointError, CorruptCheckpoint

PIECE_BYTES = 4 * 2**20
_hashed: dict[tuple[Path, int, int], str] = {}
"""The SHA-256 of each file that was read to its end, by its path, size and time of writing."""


def newest_whole(directory: Path) -> Manifest | None:
    """Of the checkpoint that a learner would go on from, by what is known of their files already;
    none is read for it."""
    store = CheckpointStore(directory)
    with suppress(CheckpointError):  # of a newer version, or they cannot be listed
        for path in store.newest_first():
            with suppress(CorruptCheckpoint):
                return look_at(store, path, deadline=0.0)[0]
    return None


def look_at(store: CheckpointStore, path: Path, deadline: float) -> tuple[Manifest, bool]:
    """A checkpoint's manifest, and whether all its files have been read by the deadline, of the
    steady clock.

    Raises:
        CorruptCheckpoint: it is not whole, as far as it was read.
        NewerFormat: a newer version has written it.
    """
    manifest = store.manifest(path)
    is_read = True
    for file, digest in store.files_of(path, manifest).items():
        try:
            found = _sha256(file, deadline)
        except OSError as error:
            raise CorruptCheckpoint(f"{file} cannot be read: {error.strerror}") from error
        if found is None:
            is_read = False
        elif found != digest:
            raise CorruptCheckpoint(
                f"{file} does not have the SHA-256 it was written with; it was cut short or altered"
            )
    return manifest, is_read


def _sha256(file: Path, deadline: float) -> str | None:
    """None where the deadline comes first."""
    stat = file.stat()
    key = (file, stat.st_size, stat.st_mtime_ns)
    if key not in _hashed:
        digest, piece = hashlib.sha256(), memoryview(bytearray(PIECE_BYTES))
        with file.open("rb", buffering=0) as opened:
            while True:
                if time.monotonic() >= deadline:
                    return None
                if not (count := opened.readinto(piece)):
                    break
                digest.update(piece[:count])
        _hashed[key] = digest.hexdigest()
    return _hashed[key]
