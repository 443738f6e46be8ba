"""A learner's journal, brought here line by line as it grows.

Invariant: a file here is a beginning of one of the learner's, whole line by whole line; where the
learner's is another one by now, as of a life begun anew, what was read before is forgotten.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import httpx

from services.journal import FORMER, LIMIT_BYTES, NAME
from services.journal_reading import CHUNK_BYTES
from services.learner_api.journal import PATHS, etag_of
from services.predictor.mirror.learner import SourceLearner, SourceUnusable

PIECE_BYTES = 2 * 1024 * 1024
LARGEST_BYTES = 4 * LIMIT_BYTES  # the learner puts its file aside long before


class Outcome(Enum):
    """What has become of a copy."""

    MORE = auto()
    """It has grown, and there is more to be had at once."""
    WHOLE = auto()
    """It has all that the learner's has."""
    OTHER = auto()
    """The learner has another file there."""
    NOTHING = auto()
    """The learner has none there."""


class JournalCopy:
    """Args:
    directory: of the copy.
    """

    def __init__(self, directory: Path, learner: SourceLearner) -> None:
        self._learner = learner
        self._files = {name: _File(directory / name) for name in (NAME, FORMER)}

    def begin(self) -> None:
        for file in self._files.values():
            file.look()

    def look(self) -> bool:
        """Take the next piece; whether there is more to be had at once.

        Raises:
            SourceAway: it cannot be had now.
            SourceRefuses: it is not to be had.
            SourceUnusable: what came is no journal.
            OSError: it cannot be written.
        """
        now, former = self._files[NAME], self._files[FORMER]
        if now.is_empty():  # the former file comes first, as it is read first
            outcome = self._extend(FORMER, former)
            if outcome is Outcome.OTHER:
                return self._forget()
            if outcome is Outcome.MORE:
                return True
            outcome = self._extend(NAME, now)
            if not now.is_empty() and self._extend(FORMER, former) is Outcome.OTHER:
                return self._forget()  # one was put aside just now
            return outcome is Outcome.MORE
        outcome = self._extend(NAME, now)
        if outcome in (Outcome.WHOLE, Outcome.MORE):
            return outcome is Outcome.MORE
        rest = self._extend(FORMER, now)  # was it put aside?
        if rest is Outcome.WHOLE:
            now.become(former)
        if rest in (Outcome.WHOLE, Outcome.MORE):
            return True
        return outcome is Outcome.OTHER and self._forget()

    def _forget(self) -> bool:
        for file in self._files.values():
            file.remove()
        return True

    def _extend(self, theirs: str, ours: _File) -> Outcome:
        """Take the next piece of a file of the learner's, where ours is the beginning of it. The
        last line is asked for again: another one in its place is of another life."""
        start = ours.size - len(ours.last)
        headers = {"Range": f"bytes={start}-{ours.size + PIECE_BYTES}"}
        if ours.size:
            headers["If-Range"] = ours.etag
        with self._learner.asked("GET", PATHS[theirs], headers) as response:
            if response.status_code in (404, 503):
                return Outcome.NOTHING
            if response.status_code != 206:
                return Outcome.OTHER
            all_bytes = _size_in(response)
            piece = b"".join(self._learner.content(response, PIECE_BYTES + len(ours.last) + 1))
        if not piece.startswith(ours.last):
            return Outcome.OTHER
        new = piece[len(ours.last) : piece.rfind(b"\n") + 1]
        is_all = start + len(piece) >= all_bytes
        if not new and not is_all:
            raise SourceUnusable(f"{response.url} has a line of more than {PIECE_BYTES:,} bytes")
        if ours.size + len(new) > LARGEST_BYTES:
            raise SourceUnusable(f"{response.url} has more than {LARGEST_BYTES:,} bytes")
        if new:
            ours.append(new)
        return Outcome.WHOLE if is_all else Outcome.MORE


class _File:
    """A file of the copy, and what is known of it: its ETag, size and last line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.etag, self.size, self.last = "", 0, b""

    def is_empty(self) -> bool:
        return self.size == 0

    def look(self) -> None:
        """At what is there from before, less a last line that was cut short."""
        self.etag, self.size, self.last = "", 0, b""
        try:
            with self.path.open("rb") as file:
                first = file.readline(CHUNK_BYTES)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - PIECE_BYTES))
                end = file.read()
        except FileNotFoundError:
            return
        whole = size - len(end) + end.rfind(b"\n") + 1
        if not first.endswith(b"\n") or b"\n" not in end:
            self.remove()
            return
        os.truncate(self.path, whole)
        self.etag, self.size, self.last = etag_of(first), whole, _last_line(end)

    def append(self, lines: bytes) -> None:
        """Where not all of it can be written, the file is cut to what it was before."""
        try:
            with self.path.open("ab") as file:
                file.write(lines)
        except OSError:
            with suppress(OSError):
                os.truncate(self.path, self.size)
            raise
        if not self.size:
            self.etag = etag_of(lines[: lines.index(b"\n") + 1])
        self.size += len(lines)
        self.last = _last_line(lines)

    def become(self, other: _File) -> None:
        """The file of that name, in place of what was there."""
        self.path.replace(other.path)
        other.etag, other.size, other.last = self.etag, self.size, self.last
        self.etag, self.size, self.last = "", 0, b""

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.etag, self.size, self.last = "", 0, b""


def _last_line(lines: bytes) -> bytes:
    whole = lines[: lines.rfind(b"\n")]
    return lines[whole.rfind(b"\n") + 1 : len(whole) + 1]


def _size_in(response: httpx.Response) -> int:
    """Of the whole file, as a range tells it."""
    told = response.headers.get("content-range", "").rpartition("/")[2]
    if not told.isdigit():
        raise SourceUnusable(f"{response.url} was answered with a range that tells no size")
    return int(told)
