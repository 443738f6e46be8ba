"""The place of a mirror: a directory that one predictor alone writes into.

Invariant: what a learner keeps there is never touched, and two predictors never share one.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from si_stream.checkpoints.files import cannot_write, read_limited
from si_stream.errors import SettingsError

MARK = "mirror.json"
FORMAT = "si-stream-mirror/1"
LIMIT_BYTES = 64 * 1024


class Place:
    """Held until it is closed, or the process ends.

    Args:
        url: of the learner that is mirrored there.

    Raises:
        SettingsError: it is a learner's, or another predictor's.
        CheckpointError: it cannot be written into.
    """

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        if not (directory / MARK).exists() and _holds_a_model(directory):
            raise SettingsError(
                f"{directory} holds a model that is no copy; give this predictor a --directory of "
                "its own, or follow that one with --source DIRECTORY"
            )
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = (directory / MARK).open("a+", encoding="utf-8")
        except OSError as error:
            raise cannot_write(directory, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            if not isinstance(error, BlockingIOError):  # a file system that knows no locks, say
                raise cannot_write(directory, error) from error
            raise SettingsError(
                f"another predictor keeps its copy in {directory}; give this one a --directory of "
                f"its own, or have it follow that copy with --source {directory}"
            ) from None
        with suppress(OSError):  # a full disk: that it is there is enough
            mark = {"format": FORMAT, "source": url, "pid": os.getpid()}
            self._file.truncate(0)
            self._file.write(json.dumps(mark) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def _holds_a_model(directory: Path) -> bool:
    return any((directory / name).exists() for name in ("epochs", "broker.sqlite", "holdouts"))


def source_of_mirror(directory: Path) -> str | None:
    """The learner that the directory mirrors; None where it is no mirror."""
    try:
        mark = json.loads(read_limited(directory / MARK, LIMIT_BYTES) or b"{}")
        return str(mark.get("source", "another machine"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        return "another machine"  # it has the mark, whatever has become of that
