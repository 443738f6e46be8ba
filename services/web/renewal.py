"""Files that are renewed on disk while a process runs, as orchestrators do with secrets."""

from __future__ import annotations

from pathlib import Path

Looks = tuple[int, ...]


def looks_of(file: Path) -> Looks:
    """What is another after any change: another file of the name, or other contents.

    Raises:
        OSError: it cannot be found.
    """
    found = file.stat()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
