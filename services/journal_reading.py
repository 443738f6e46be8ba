"""Reading a learner's journal as it grows: what is new since the last look, event by event.

Invariant: a line is read once and whole, also where the journal goes on in a new file meanwhile. A
file is known by its first line, which no other one has; a line that is no event is passed over.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import BinaryIO, NamedTuple, get_args

import orjson

from services.journal import FORMER, NAME
from si_stream import events
from si_stream.checkpoints.files import open_regular

CHUNK_BYTES = 256 * 1024
KINDS: dict[str, type[events.Event]] = {kind.__name__: kind for kind in get_args(events.Event)}

UNBOUNDED = {"evidence", "distance", "limit", "loss", "surrogate_loss"}
UNTOLD: dict[type[events.Event], dict[str, object]] = {  # by versions that did not have them yet
    events.Alarmed: {"signal": "errors"},
    events.Consolidated: {"plasticity_speed": None, "plasticity_level": None},
}
MEMBERS = {kind: {field.name for field in fields(kind)} for kind in KINDS.values()}
NUMBERS: dict[type[events.Event], list[str]] = {
    kind: [
        field.name
        for field in fields(kind)
        if field.type in ("int", "float") and field.name not in UNBOUNDED
    ]
    for kind in KINDS.values()
}


class Told(NamedTuple):
    """An event, and when it was written down (Unix time)."""

    time_seconds: float
    event: events.Event


class Reading(NamedTuple):
    """``anew``: what was read before does not go before this, so whoever kept it forgets it.
    ``more``: there is more to be read at once."""

    anew: bool
    told: list[Told]
    more: bool


class _Opened(NamedTuple):
    file: BinaryIO
    head: bytes


class JournalReader:
    """Args:
    directory: of the model; it may not be there yet.
    skip: kinds of events that are of no use to whoever reads.
    """

    def __init__(self, directory: Path, skip: Collection[type[events.Event]] = ()) -> None:
        self._paths = (directory / FORMER, directory / NAME)
        self._skip = tuple(b'{"event":"%s"' % kind.__name__.encode() for kind in skip)
        self._head: bytes | None = None
        self._offset = 0

    def read(self) -> Reading:
        """The next lines, at most `CHUNK_BYTES` of them.

        Raises:
            OSError: the journal is there and cannot be read.
        """
        with ExitStack() as stack:
            files = self._opened(stack)
            heads = [one.head for one in files]
            anew = self._head is not None and self._head not in heads
            if files and (anew or self._head is None):
                self._head, self._offset = heads[0], 0
            elif not files:
                self._head = None
                return Reading(anew, [], more=False)
            assert self._head is not None
            number = heads.index(self._head)
            lines = self._lines(files[number].file)
            is_last = number + 1 == len(files)
            if not lines and not is_last:
                self._head, self._offset = heads[number + 1], 0
            told = [one for line in lines if (one := self._told(line)) is not None]
            return Reading(anew, told, more=bool(lines) or not is_last)

    def _opened(self, stack: ExitStack) -> list[_Opened]:
        """The files with at least a whole line, the older one first; opened last, or a file that
        becomes the older one meanwhile would be missed."""
        opened: list[_Opened] = []
        for path in reversed(self._paths):
            try:
                file = stack.enter_context(open_regular(path))
            except FileNotFoundError:
                continue
            head = file.readline(CHUNK_BYTES)
            if head.endswith(b"\n") and all(head != one.head for one in opened):
                opened.append(_Opened(file, head))
        return opened[::-1]

    def _lines(self, file: BinaryIO) -> list[bytes]:
        file.seek(self._offset)
        chunk = file.read(CHUNK_BYTES)
        whole = chunk.rfind(b"\n") + 1
        if not whole and len(chunk) == CHUNK_BYTES:  # no event is so long
            whole = len(chunk)
        self._offset += whole
        return chunk[:whole].splitlines()

    def _told(self, line: bytes) -> Told | None:
        return None if line.startswith(self._skip) else told_in(line)


def told_in(line: bytes) -> Told | None:
    """What a line of the journal says; None where it is damaged, or tells of what this version does
    not know. A number that was not finite is null in it, which only `UNBOUNDED` ones can be."""
    try:
        values = orjson.loads(line)
        kind, seconds = KINDS[values.pop("event")], float(values.pop("time_seconds"))
        if any(values[name] is None for name in NUMBERS[kind] if name in values):
            return None
        known = {name: value for name, value in values.items() if name in MEMBERS[kind]}
        return Told(seconds, kind(**UNTOLD.get(kind, {}) | known))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
