"""Merging: the messages of all partitions in one order, which their positions alone decide.

Strict round robin, a message from each partition in turn. A partition whose boundary has come rests
until all the others have reached theirs; then those boundaries are delivered as one. So the k-th
boundaries of the partitions belong together, whoever sent them and whenever they arrived. But a
partition whose very first message is a boundary takes part behind that one, and holds up none
before: so one that was added later has its place in the stream, whenever it is noticed.
Invariant: a partition that has nothing is waited for, never skipped, unless ``merge = arrival``
gives that up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from si_stream import events
from si_stream.brokers.interface import Position, Reader, Record
from si_stream.messages.kinds import Boundary, End
from si_stream.opening import Opened, Opener


class Cursor(NamedTuple):
    """A place in a stream: of each partition the next row, and which partition's turn it is."""

    positions: dict[int, Position]
    turn: int = 0

    def within(self, record: Record, row: int) -> Cursor:
        """The place before a row of a message that was the last to be delivered."""
        inside = {record.partition: Position(record.offset, row)}
        return Cursor(self.positions | inside, record.partition)

    def behind(self, records: Sequence[Record], turn: int = 0) -> Cursor:
        """The place behind messages that are delivered next, and whose turn it is then."""
        passed = {record.partition: Position(record.offset + 1) for record in records}
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
        emit: told which partition is awaited, and when none is any more.
        in_turn: False delivers what has arrived, whosever turn it is (``merge = arrival``).

    Attributes:
        awaited: the partition without which nothing can be delivered, although others have
            messages; None where there is none. One for which they waited for less than a poll's
            time-out does not count.
    """

    def __init__(
        self,
        reader: Reader,
        cursor: Cursor,
        opener: Opener,
        has_seen: Callable[[str], bool],
        emit: events.Emit,
        *,
        in_turn: bool = True,
    ) -> None:
        self.awaited: int | None = None
        self._reader = reader
        self._cursor = cursor
        self._opener = opener
        self._has_seen = has_seen
        self._emit = emit
        self._in_turn = in_turn
        self._arrived: dict[int, deque[Opened]] = {p: deque() for p in sorted(cursor.positions)}

    def poll(self, timeout_seconds: float) -> Iterator[Delivery]:
        """What has come and is next, in order. Act on each before asking for the following."""
        empty = [partition for partition, arrived in self._arrived.items() if not arrived]
        records = self._reader.poll(timeout_seconds, empty)
        for opened in self._opener.open(records):
            self._arrived[opened.record.partition].append(opened)
        while partitions := self._next():
            next_ones = tuple(self._arrived[partition].popleft() for partition in partitions)
            before = self._cursor
            self._cursor = before.behind(
                [one.record for one in next_ones], self._turn_after(next_ones)
            )
            self._await(None)
            yield Delivery(next_ones, before, self._cursor)
        if not records and any(self._arrived.values()):
            self._await(self._moving()[0])

    def _await(self, partition: int | None) -> None:
        if partition != self.awaited:
            self.awaited = partition
            self._emit(events.Awaiting(partition))

    def _turn_after(self, delivered: Sequence[Opened]) -> int:
        """The first's after a boundary. One that acted already takes no turn, so that whoever
        completes a boundary by sending it again moves no sample to another place.
        """
        record, message, _ = delivered[-1]
        if isinstance(message, Boundary | End):
            return record.partition if self._has_seen(message.event_id) else 0
        return (record.partition + 1) % len(self._arrived)

    def at_rest(self) -> Cursor:
        """The place behind all that was delivered, and behind what follows there and is no record:
        the markers of Kafka's transactions, and the records of those that were aborted.

        A partition from which nothing was delivered has not begun, and stays where it is.
        """
        passed = {
            partition: max(place, Position(self._reader.next_offset(partition)))
            for partition, place in self._cursor.positions.items()
            if not self._arrived[partition] and place > Position()
        }
        self._cursor = Cursor(self._cursor.positions | passed, self._cursor.turn)
        return self._cursor

    def is_behind(self, ends: Sequence[int]) -> bool:
        """Whether all that lies before these offsets, one of each partition, has been delivered."""
        return not any(self._arrived.values()) and all(
            self._reader.next_offset(partition) >= ends[partition] for partition in self._arrived
        )

    def _next(self) -> Collection[int]:
        """The partitions to deliver from: one, or all that have begun at a boundary, or none."""
        moving = self._moving()
        if not moving:
            begun = [n for n, place in self._cursor.positions.items() if place > Position()]
            return begun or self._arrived.keys()
        candidates = moving[:1] if self._in_turn else moving
        return [partition for partition in candidates if self._arrived[partition]][:1]

    def _moving(self) -> list[int]:
        """The partitions that do not rest at a boundary, from the one whose turn it is."""
        count = len(self._arrived)
        in_order = [(self._cursor.turn + n) % count for n in range(count)]
        return [partition for partition in in_order if not self._rests(partition)]

    def _rests(self, partition: int) -> bool:
        arrived = self._arrived[partition]
        if not arrived:
            return False
        message = arrived[0].message
        return isinstance(message, Boundary | End) and not self._has_seen(message.event_id)
