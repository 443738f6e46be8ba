"""Merging: the messages of all partitions in one order, which their positions alone decide.

Strict round robin, a message from each partition in turn. A partition whose boundary has come rests
until all the others have reached theirs; then those boundaries are delivered as one. So the k-th
boundaries of the partitions belong together, whoever sent them and whenever they arrived.
Invariant: a partition that has nothing is waited for, never skipped, unless ``merge = arrival``
gives that up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from si_stream.brokers.interface import Position, Reader, Record
from si_stream.errors import MessageError
from si_stream.messages.kinds import Samples
from si_stream.opening import Opened, Opener


class Cursor(NamedTuple):
    """A place in a stream: of each partition the next row, and which partition's turn it is."""

    positions: dict[int, Position]
    turn: int = 0

    def within(self, record: Record, row: int) -> Cursor:
        """The place before a row of a message that was the last to be delivered."""
        inside = {record.partition: Position(record.offset, row)}
        return Cursor(self.positions | inside, record.partition)

    def behind(self, records: Sequence[Record]) -> Cursor:
        """The place behind messages that are delivered next."""
        passed = {record.partition: Position(record.offset + 1) for record in records}
        turn = (records[-1].partition + 1) % len(self.positions)
        return Cursor(self.positions | passed, turn)


class Delivery(NamedTuple):
    """One message; or the boundaries of all partitions, which count as one."""

    opened: tuple[Opened, ...]
    before: Cursor
    behind: Cursor


class Merge:
    """Args:
        reader: begins at the cursor's offsets.
        cursor: where to begin. A message that it lies in is delivered whole.
        opener: opens records as they arrive.
        has_seen: whether an event id has acted already, so that its boundary is none.
        in_turn: False delivers what has arrived, whosever turn it is (``merge = arrival``).

    Attributes:
        awaited: the partition that others have to wait for; None where none has to.
    """

    def __init__(
        self,
        reader: Reader,
        cursor: Cursor,
        opener: Opener,
        has_seen: Callable[[str], bool],
        *,
        in_turn: bool = True,
    ) -> None:
        self.awaited: int | None = None
        self._reader = reader
        self._cursor = cursor
        self._opener = opener
        self._has_seen = has_seen
        self._in_turn = in_turn
        self._arrived: dict[int, deque[Opened]] = {p: deque() for p in sorted(cursor.positions)}

    def poll(self, timeout_seconds: float) -> Iterator[Delivery]:
        """What has come and is next, in order; each is acted on before the following is asked for."""
        empty = [partition for partition, arrived in self._arrived.items() if not arrived]
        for opened in self._opener.open(self._reader.poll(timeout_seconds, empty)):
            self._arrived[opened.record.partition].append(opened)
        while partitions := self._next():
            next_ones = tuple(self._arrived[partition].popleft() for partition in partitions)
            before = self._cursor
            self._cursor = before.behind([one.record for one in next_ones])
            yield Delivery(next_ones, before, self._cursor)
        some_wait = any(self._arrived.values())
        self.awaited = next(iter(self._moving()), None) if some_wait else None

    def is_behind(self, ends: Sequence[int]) -> bool:
        """Whether all that lies before these offsets, one of each partition, has been delivered."""
        return not any(self._arrived.values()) and all(
            self._reader.next_offset(partition) >= ends[partition] for partition in self._arrived
        )

    def _next(self) -> Collection[int]:
        """The partitions to deliver from: one, all of them at a boundary, or none as yet."""
        moving = self._moving()
        if not moving:
            return self._arrived.keys()
        candidates = moving[:1] if self._in_turn else moving
        return [partition for partition in candidates if self._arrived[partition]][:1]

    def _moving(self) -> list[int]:
        """The partitions that do not rest at a boundary, from the one whose turn it is."""
        count = len(self._arrived)
        in_order = [(self._cursor.turn + n) % count for n in range(count)]
        return [partition for partition in in_order if not self._rests(partition)]

    def _rests(self, partition: int) -> bool:
        if not self._arrived[partition]:
            return False
        message = self._arrived[partition][0].message
        if isinstance(message, Samples | MessageError):
            return False
        return not self._has_seen(message.event_id)
