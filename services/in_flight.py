"""The batch in flight: so that one which kills the process again and again is passed over.

What is in flight stands in a small file that outlives the process, but for a power loss, which is
no batch's fault. Invariant: only deaths while that batch itself was learned count, and only while
none came elsewhere and the batch was never learned. Before a suspect is tried again there is a
pause, longer each time, in which nothing is in flight: so a process that is killed at random dies
in the pause, not in the batch, and no batch is blamed for that.
"""

from __future__ import annotations

import logging
import mmap
import struct
from pathlib import Path
from threading import Event

from si_stream.batches import Batch
from si_stream.checkpoints.files import cannot_write

logger = logging.getLogger(__name__)
NAME = "in-flight"
DEATHS = 5
FIRST_PAUSE_SECONDS = 0.5
_FORM = struct.Struct("<QQQ")  # the place in flight or 0, the suspect's place or 0, its deaths
_FLYING = struct.Struct("<Q")


class InFlight:
    """Args:
        directory: of the model; it is there.
        stop: ends a pause.

    Attributes:
        quarantined: the place of a batch that the process has died of `DEATHS` times; or None.

    Raises:
        CheckpointError: the file cannot be written.
    """

    def __init__(self, directory: Path, stop: Event) -> None:
        self._stop = stop
        try:
            with (directory / NAME).open("a+b") as file:
                file.truncate(_FORM.size)
                self._memory = mmap.mmap(file.fileno(), _FORM.size)
        except OSError as error:
            raise cannot_write(directory, error) from error
        flying, suspect, deaths = _FORM.unpack(self._memory)
        deaths = deaths + 1 if flying == suspect else 1
        self._suspect: int = flying
        self._deaths: int = deaths if flying else 0
        self.quarantined: int | None = None
        if self._deaths >= DEATHS:
            self.quarantined = self._suspect
            self._suspect, self._deaths = 0, 0
        self._place = 0
        self._note()

    def of(self, batch: Batch) -> InFlight:
        """To be entered while the batch is learned."""
        self._place = batch.place
        return self

    def __enter__(self) -> None:
        if self._place == self._suspect:
            seconds = FIRST_PAUSE_SECONDS * 2 ** (self._deaths - 1)
            logger.warning(
                "this process died %d times while it learned the next batch; trying again in "
                "%.1f s (after %d such deaths it is passed over)",
                *(self._deaths, seconds, DEATHS),
            )
            self._stop.wait(seconds)
        _FLYING.pack_into(self._memory, 0, self._place)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            return  # the process is about to end of it
        if self._place == self._suspect:
            self._suspect, self._deaths = 0, 0
            self._note()
        _FLYING.pack_into(self._memory, 0, 0)

    def close(self) -> None:
        self._memory.close()

    def _note(self) -> None:
        _FORM.pack_into(self._memory, 0, 0, self._suspect, self._deaths)
