"""A snapshot on its way here, under a temporary name.

Invariant: what has come is added to while the process lives, over as many connections as it takes,
and is nobody's before its SHA-256 is known.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import NamedTuple

import httpx

from services.predictor.mirror.learner import SourceAway, SourceLearner, SourceUnusable
from si_stream.checkpoints import files


class Offered(NamedTuple):
    """A snapshot that the learner has: where it is to lie here, and where it is there."""

    path: Path
    address: str
    digest: str


class Download:
    """Attributes:
    count: bytes that have come.
    """

    def __init__(self, offered: Offered) -> None:
        self.offered = offered
        files.make_directory(offered.path.parent)
        self.path = files.temporary_in(offered.path.parent)
        self.file: BufferedWriter = self.path.open("xb")
        self.count = 0
        self.hash = hashlib.sha256()

    def go_on(self, learner: SourceLearner, stopping: Callable[[], bool], limit_bytes: int) -> bool:
        """Have the rest of it come; False where the learner has removed it as an old one.

        Raises:
            SourceAway, SourceRefuses, SourceUnusable: it cannot be had.
            InterruptedError: it is to stop.
            OSError: it cannot be written.
        """
        etag, headers = f'"{self.offered.digest}"', {}
        if self.count:
            headers = {"Range": f"bytes={self.count}-", "If-Range": etag}
        with learner.asked("GET", self.offered.address, headers) as response:
            if response.status_code in (404, 410):
                return False
            if response.status_code == 503:
                raise SourceAway(f"the learner at {learner.url} has no room for this predictor")
            if response.status_code == 200:
                self._begin_anew()
            elif not _goes_on(response, self.count):
                raise SourceUnusable(f"{response.url} cannot be had ({response.status_code})")
            self._reserve(response, limit_bytes - self.count)
            for piece in learner.content(response, limit_bytes - self.count):
                self.file.write(piece)
                self.hash.update(piece)
                self.count += len(piece)
                if stopping():
                    raise InterruptedError
        return True

    def _reserve(self, response: httpx.Response, limit_bytes: int) -> None:
        """Room for what is to come: where there is none, it need not be sent to find that out."""
        length = response.headers.get("content-length", "")
        can = hasattr(os, "posix_fallocate")  # not on macOS
        if can and length.isdigit() and 0 < int(length) <= limit_bytes:
            os.posix_fallocate(self.file.fileno(), self.count, int(length))

    def _begin_anew(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.count, self.hash = 0, hashlib.sha256()

    def commit(self) -> None:
        self.file.truncate(self.count)
        os.fsync(self.file.fileno())
        self.file.close()
        self.path.rename(self.offered.path)
        files.sync(self.offered.path.parent)

    def drop(self) -> None:
        with suppress(OSError):  # what is left is removed at the next start
            self.file.close()
        with suppress(OSError):
            self.path.unlink()


def _goes_on(response: httpx.Response, count: int) -> bool:
    told = response.headers.get("content-range", "")
    return response.status_code == 206 and told.startswith(f"bytes {count}-")
