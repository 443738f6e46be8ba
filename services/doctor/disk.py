"""The disk that the model's directory is on: whether it can be written, how fast, and for how long.

Invariant: the file that is written to see that is gone afterwards.
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.doctor.bounds import bound_bytes, checkpoint_bytes
from services.doctor.broker import embedded_file
from services.doctor.finding import Finding, fail, ok, warn
from services.doctor.network import full_size
from services.quantities import megabytes
from si_stream.checkpoints.files import TEMPORARY
from si_stream.settings import Settings

WRITES = 5
SLOW_SECONDS = 0.2  # ten files and directories are synced for a checkpoint
FEW_INODES = 1000
NOT_FOR_SQLITE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs")
VOLATILE = ("tmpfs", "ramfs")
MOUNTS = Path("/proc/self/mountinfo")
ESCAPED = re.compile(r"\\([0-7]{3})")
"""As the kernel writes blanks and backslashes in a mount point; all else stands as it is."""


def look(settings: Settings) -> Iterator[Finding]:
    directory = existing(settings.directory)
    if directory.is_dir():  # where it is none, that is told of with the directory
        yield of_writing(directory)
        free = os.statvfs(directory)
        yield of_space(settings, free.f_bavail * free.f_frsize)
        yield of_inodes(free.f_files, free.f_favail)
    if MOUNTS.exists():
        mounts = MOUNTS.read_text("utf-8", "surrogateescape")
        if directory.is_dir():
            yield of_kind(kind_of(directory, mounts))
        if (log := embedded_file(settings.stream.broker)) is not None:
            yield of_log(log, kind_of(existing(log), mounts))


def existing(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def of_writing(directory: Path) -> Finding:
    """Write a small file to the disk some times, as a checkpoint's manifest is."""
    about, taken = "disk: writing", []
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f"{TEMPORARY}doctor-") as file:
            for _ in range(WRITES):
                began = time.perf_counter()
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
                taken.append(time.perf_counter() - began)
    except OSError as error:
        return fail(
            about,
            f"{directory} cannot be written: {error.strerror}",
            "make room, mount it for writing, or mend its permissions",
        )
    return of_latency(directory, taken)


def of_latency(directory: Path, taken: Sequence[float]) -> Finding:
    about, latency = "disk: writing", statistics.median(taken)
    seen = f"4 KiB are on the disk of {directory} after {1000 * latency:.1f} ms (median)"
    if latency > SLOW_SECONDS:
        return warn(
            about,
            seen,
            "checkpoints take seconds, and boundaries wait for them: take a faster disk, or raise "
            "checkpoints.interval_seconds",
        )
    return ok(about, seen)


def of_space(settings: Settings, free_bytes: int) -> Finding:
    about, count = "disk: free space", full_size(settings)
    if count is None:
        return ok(about, f"{megabytes(free_bytes)} free; without a model nobody knows how much")
    checkpoint = checkpoint_bytes(settings, count)
    needed = max(0, bound_bytes(settings, count) - used_bytes(settings.directory))
    seen = (
        f"{megabytes(free_bytes)} free; up to {megabytes(needed)} more are needed, with "
        f"{megabytes(checkpoint)} for a checkpoint of all {settings.boundaries.max_tasks} tasks"
    )
    advice = "make room, or lower checkpoints.keep, keep_at_boundaries or boundaries.max_tasks"
    if free_bytes < checkpoint:
        return fail(about, seen, advice)
    return warn(about, seen, advice) if free_bytes < needed else ok(about, seen)


def used_bytes(directory: Path) -> int:
    """By checkpoints, snapshots and holdouts."""
    total = 0
    for part in ("epochs", "holdouts"):
        for above, _, names in os.walk(directory / part):
            for name in names:
                try:
                    total += Path(above, name).stat().st_size
                except FileNotFoundError:  # pruned just now
                    continue
    return total


def of_inodes(total: int, free: int) -> Finding:
    about = "disk: files"
    if total == 0:
        return ok(about, "the file system makes as many as there is room for")
    seen = f"{free:,} more can be made"
    if free < FEW_INODES:
        return warn(about, seen, "remove small files: df --inodes shows where there are many")
    return ok(about, seen)


def of_kind(kind: str) -> Finding:
    """Of the file system that the model's directory is on."""
    about = "disk: file system"
    if kind in VOLATILE:
        return warn(
            about,
            f"{kind}, which lies in memory: what is learned does not outlive this machine",
            "name a --directory on a disk",
        )
    return ok(about, kind)


def of_log(file: Path, kind: str) -> Finding:
    """Of the file system that an embedded log is on, which need not be the directory's."""
    about, seen = "disk: embedded log", f"{file} is on {kind}"
    if kind.startswith(NOT_FOR_SQLITE):
        return fail(
            about,
            f"{seen}, which lies on a network, where an embedded log is not safe",
            "put it on a disk of this machine (--broker embedded:PATH), or take Kafka",
        )
    return ok(about, seen)


def kind_of(directory: Path, mounts: str) -> str:
    """The type of the file system that a directory is on.

    Args:
        mounts: as in /proc/self/mountinfo.
    """
    found, longest = "unknown", -1
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        point = Path(ESCAPED.sub(lambda found: chr(int(found[1], 8)), mount.split(" ")[4]))
        if directory.resolve().is_relative_to(point) and len(point.parts) >= longest:
            found, longest = rest.split(" ")[0], len(point.parts)
    return found
