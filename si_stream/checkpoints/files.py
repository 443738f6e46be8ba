"""Files that are wholly there or not at all, and are what their name says.

A name ends in the SHA-256 of what it names, so that a file is checked before anything of it is
parsed. To commit, and what a failure after each step leaves:

    1. write everything under a temporary name      → a left-over, removed at the next start
    2. fsync what was written                       → the same
    3. rename to the final name                     → the rename may not survive a power loss:
                                                      what was there before is still the newest
    4. fsync the directory                          → committed

Removing goes the other way round: a temporary name first, so that no half of it keeps its name.

Whoever can put files into a directory can put anything there: what is read is a regular file, and
no more of it is held than the reader has room for, whatever its size or its contents say.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from si_stream.errors import CheckpointError, CorruptCheckpoint

if TYPE_CHECKING:  # who reads a journal needs no torch
    from torch import Tensor

TEMPORARY = ".writing-"
MANIFEST = "manifest.json"
MANIFEST_LIMIT_BYTES = 128 * 1024 * 1024  # of 1,000 tasks it is some 20 MB
_NAMED = re.compile(r"(\d{12})-([0-9a-f]{64})(\.\w+)?")


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def name(number: int, digest: str, suffix: str = "") -> str:
    return f"{number:012d}-{digest}{suffix}"


def parse_name(path: Path) -> tuple[int, str] | None:
    """The number and the digest in a name; None for what was not named here."""
    match = _NAMED.fullmatch(path.name)
    return (int(match[1]), match[2]) if match else None


def newest_first(directory: Path) -> Iterator[Path]:
    """What was committed into a directory, from the highest number down.

    Raises:
        OSError: it is there and cannot be listed.
    """
    try:
        named = [path for path in directory.iterdir() if parse_name(path)]
    except FileNotFoundError:  # not there yet, or removed by a learner that needs it no more
        return
    yield from sorted(named, reverse=True)


def next_number(directory: Path) -> int:
    """One more than the highest that is there."""
    newest = next(newest_first(directory), None)
    named = parse_name(newest) if newest else None
    return named[0] + 1 if named else 1


def sync(path: Path) -> None:
    """Have the disk hold a file's contents, or a directory's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, parents: bool = True) -> None:
    """Make it, and those above, where they are not there, to outlive a power loss with what is put
    into them."""
    if parents and not path.parent.exists():
        make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)  # also where it was there: whoever made it may not have got to this


def temporary_in(directory: Path) -> Path:
    return directory / f"{TEMPORARY}{secrets.token_hex(8)}"


def write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Write them as safetensors; the SHA-256. Other threads go on meanwhile."""
    from safetensors.torch import save_file  # it loads torch

    try:
        save_file(dict(tensors), path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number)) from error
    path.chmod(path.parent.stat().st_mode & 0o666)  # as others are written, not for one user alone
    sync(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit_file(directory: Path, final: str, data: bytes) -> Path:
    """Write one file; the steps are those of this module.

    Raises:
        CheckpointError: the disk is full, read-only or broken; what was there before stays.
    """
    temporary = temporary_in(directory)
    try:
        write(temporary, data)
        temporary.rename(directory / final)
        sync(directory)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(directory, error) from error
    return directory / final


def open_regular(path: Path) -> BufferedReader:
    """A file to read; no symbolic link, which may lead out of the directory, and no pipe or device,
    which may never end.

    Raises:
        OSError: it is not there, or something else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return BufferedReader(FileIO(descriptor))


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """Raises:
    OSError: it cannot be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        require_size(file, limit_bytes)
        return file.read(limit_bytes)


def require_size(file: BufferedReader, limit_bytes: int) -> None:
    """Raises:
    OSError: it is larger.
    """
    size = os.fstat(file.fileno()).st_size
    if size > limit_bytes:
        raise OSError(errno.EFBIG, f"it has {size} bytes, and {limit_bytes} are the limit")


def read_checked(path: Path, digest: str, limit_bytes: int | None = None) -> bytes:
    """A file's bytes, if they are those of the digest; none are held before that is known.

    Raises:
        CorruptCheckpoint: they are not, cannot be read, or are more than the limit.
    """
    with _checked(path, digest, limit_bytes) as (file, size):
        return file.read(size)


def require_digest(path: Path, digest: str, limit_bytes: int | None = None) -> None:
    """As `read_checked`, of which nothing is held."""
    with _checked(path, digest, limit_bytes):
        pass


@contextmanager
def _checked(
    path: Path, digest: str, limit_bytes: int | None
) -> Iterator[tuple[BufferedReader, int]]:
    try:
        with open_regular(path) as file:
            if limit_bytes is not None:
                require_size(file, limit_bytes)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            if found == digest:
                file.seek(0)
                yield file, size
                return
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read: {error.strerror}") from error
    raise CorruptCheckpoint(
        f"{path} ({size} bytes) does not have the SHA-256 it was written with; "
        "it was cut short or altered"
    )


def remove(directory: Path) -> None:
    """Remove a directory that was committed; what cannot be removed is a left-over."""
    with suppress(OSError):
        shutil.rmtree(directory.rename(temporary_in(directory.parent)))


def remove_left_overs(directory: Path) -> None:
    for path in directory.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def cannot_list(directory: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"cannot list {directory}: {error.strerror}; "
        "mend the directory's permissions, its disk or its mount, then start again"
    )


def cannot_write(directory: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"cannot write into {directory}: {error.strerror}; "
        "make room or mend the directory's permissions, then start again"
    )
