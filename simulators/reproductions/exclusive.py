"""A directory that one command at a time works in."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from si_stream.errors import SettingsError

LOCK = ".in-use"  # it is left there; it is the lock on it that tells


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Nobody else is in it meanwhile; it ends with the process, however that ends.

    Raises:
        SettingsError: another command is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another command is at work in {directory}: wait until it is done, or give this "
                "one a --directory of its own"
            ) from None
        yield
