"""The journal: what happened in a model's life, one JSON object a line, for people and pages.

Bounded: past `LIMIT_BYTES` the file becomes `events.1.jsonl`, and the one before that is gone. What
comes all the time is left out, or it would push out soon what is looked for later.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from pydantic_core import to_json

from si_stream import events
from si_stream.checkpoints.files import cannot_write

logger = logging.getLogger(__name__)
NAME, FORMER = "events.jsonl", "events.1.jsonl"
LIMIT_BYTES = 16 * 1024 * 1024
LINE_BYTES = 1024 * 1024  # no event is so long
FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
UNTOLD = (
    events.Received,
    events.BatchLearned,
    events.Progress,
    events.LayerMeasured,
    events.Awaiting,
)


class Journal:
    """A full disk costs lines, not the learner.

    Args:
        directory: of one model; made where it is not there.

    Raises:
        CheckpointError: it cannot be written now.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO | None = self._opened()
        except OSError as error:
            raise cannot_write(directory, error) from error
        self._complained = False

    def hear(self, event: events.Event) -> None:
        """Write an event down; those that come all the time are left to the metrics."""
        if isinstance(event, UNTOLD):
            return
        line = {"event": type(event).__name__, "time_seconds": time.time(), **asdict(event)}
        try:
            self._file = self._file or self._opened()
            self._file.write(to_json(line, inf_nan_mode="null") + b"\n")
            self._file.flush()
            self._complained = False
            if self._file.tell() > LIMIT_BYTES:
                self._file.close()
                self.path.replace(self.path.with_name(FORMER))
                self._file = self._opened()
        except OSError as error:
            if not self._complained:  # once, until a line has been written again
                logger.warning("%s", cannot_write(self.path.parent, error))
            self._complained = True
            self.close()

    def close(self) -> None:
        with suppress(OSError):  # a line that could not be written has been complained of
            if self._file is not None:
                self._file.close()
        self._file = None

    def _opened(self) -> BinaryIO:
        """The file to append to, less a last line that a crash or a full disk has cut short."""
        descriptor = os.open(self.path, FLAGS, 0o666)
        file = os.fdopen(descriptor, "ab")
        end = file.tell()
        first = max(0, end - LINE_BYTES)
        cut = os.pread(descriptor, LINE_BYTES, first)
        file.truncate(first + cut.rfind(b"\n") + 1)
        return file
