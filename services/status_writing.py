"""A learner's status in its directory, written once a second on a thread of its own.

So it is new also while a step, a boundary or the broker takes its time. There is no fsync: after a
power loss nobody needs to know how the process was before. Invariant: a disk that is full costs
lines in the log, never the learner; and what a learner that started later has written is left
alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from services.learner_status import NAME, LearnerStatus, read_status
from si_stream.checkpoints.files import TEMPORARY, cannot_write

logger = logging.getLogger(__name__)
INTERVAL_SECONDS = 1.0
CLOSE_SECONDS = 2.0


class StatusWriting:
    """Args:
    directory: of the model.
    status: asked for what to write, from the thread.
    """

    def __init__(self, directory: Path, status: Callable[[], LearnerStatus]) -> None:
        self.path = directory / NAME
        self._status = status
        self._closing = Event()
        self._complained = False
        self._thread = Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write it for the last time, if the disk lets that happen soon."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def write(self) -> None:
        status = self._status()
        there = read_status(self.path.parent)
        if there and there.epoch > status.epoch and there.started_seconds > status.started_seconds:
            return
        # No other learner has the epoch, so none writes under the same name.
        temporary = self.path.with_name(f"{TEMPORARY}status-{status.epoch}")
        try:
            temporary.write_bytes(status.model_dump_json(indent=1).encode())
            temporary.replace(self.path)
            self._complained = False
        except OSError as error:
            self._complain(f"how the learner is: {cannot_write(self.path.parent, error)}")
            with suppress(OSError):
                temporary.unlink()

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()
            try:
                self.write()
            except Exception:  # noqa: BLE001  the next second it is tried again
                self._complain("how the learner is cannot be told; learning goes on", exc_info=True)
            if closing:
                return
            self._closing.wait(INTERVAL_SECONDS)

    def _complain(self, text: str, *, exc_info: bool = False) -> None:
        """Once, not every second."""
        if not self._complained:
            logger.warning("%s", text, exc_info=exc_info)
        self._complained = True
