"""The journal: what happened in a model's life, one JSON object a line, for people and pages.

Bounded: past `LIMIT_BYTES` the file becomes `events.1.jsonl`, and the one before that is gone.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from si_stream import events

NAME, FORMER = "events.jsonl", "events.1.jsonl"
LIMIT_BYTES = 16 * 1024 * 1024
UNTOLD = (events.Received, events.BatchLearned, events.LayerMeasured)


class Journal:
    """Args:
    directory: of one model.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / NAME
        self._file = self.path.open("a", encoding="utf-8")

    def hear(self, event: events.Event) -> None:
        """Write an event down; those of every batch are left to the metrics."""
        if isinstance(event, UNTOLD):
            return
        line = {"event": type(event).__name__, "time_seconds": time.time(), **asdict(event)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._file.tell() > LIMIT_BYTES:
            self._file.close()
            self.path.replace(self.path.with_name(FORMER))
            self._file = self.path.open("a", encoding="utf-8")

    def close(self) -> None:
        self._file.close()
