"""The embedded broker: a durable log in one SQLite file, shared by processes of one machine.

Invariant: what `append` has returned survives the process and the machine; what it has not
is there wholly or not at all. A partition's next offset is one more than its highest, or its
low watermark where no record is left, so none is used twice, even after all are pruned.

Writers take turns by SQLite's write lock. Readers are never locked out (WAL), and keep no
transaction open between polls, so that the WAL file is emptied again and again. WAL needs
memory that is shared: the file must lie on a disk of this machine, not on a network.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from si_stream.brokers.checks import (
    check_offset,
    check_partition,
    check_partition_count,
    check_partition_total,
    stream_not_found,
)
from si_stream.brokers.interface import POLL_BYTES, Broker, Envelope, Reader, Record, Watermarks
from si_stream.brokers.log_file import explained, open_file, open_to_read, transaction

# A record's place is the partition's key times this, plus its offset. One integer as the
# table's own key needs no index beside it and is written a third faster than two columns.
_PLACES = 1 << 40

# A reader that finds nothing looks again after the shortest pause, then after twice as long
# each time: little delay on a busy stream, about a hundredth of a core on an idle one.
_SHORTEST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.02


class EmbeddedBroker(Broker):
    """The log at ``path``, made there, and its directory too, where they are missing.

    Args:
        path: of the SQLite file; two more, ``-wal`` and ``-shm``, lie beside it while in use.
        busy_timeout_seconds: how long to wait for another writer before giving up.
        read_only: nothing is made or changed; there must be a log.
    """

    def __init__(
        self, path: str | Path, *, busy_timeout_seconds: float = 10.0, read_only: bool = False
    ) -> None:
        self._path = Path(path).expanduser().absolute()
        self._busy_timeout_seconds = busy_timeout_seconds
        opened = open_to_read if read_only else open_file
        self._connection = opened(self._path, busy_timeout_seconds)
        self._lock = threading.Lock()

    def create_stream(
        self, stream: str, partitions: int | None = None, *, max_message_bytes: int | None = None
    ) -> None:
        with self._transaction("IMMEDIATE") as connection:
            existing = _find_partitions(connection, stream)
            check_partition_count(stream, partitions, len(existing) or None)
            if existing:
                return
            connection.execute("INSERT INTO stream VALUES (?, ?)", (stream, uuid.uuid4().hex))
            _add_partitions(connection, stream, range(partitions or 1))

    def stream_id(self, stream: str) -> str:
        with self._transaction("DEFERRED") as connection:
            row = connection.execute("SELECT id FROM stream WHERE name = ?", (stream,)).fetchone()
        if row is None:
            raise stream_not_found(stream)
        return str(row[0])

    def partitions(self, stream: str) -> int:
        with self._transaction("DEFERRED") as connection:
            return len(_partition_keys(connection, stream))

    def add_partitions(self, stream: str, total: int) -> None:
        with self._transaction("IMMEDIATE") as connection:
            existing = len(_partition_keys(connection, stream))
            check_partition_total(stream, total, existing)
            _add_partitions(connection, stream, range(existing, total))

    def append(self, stream: str, partition: int, envelopes: Sequence[Envelope]) -> list[int]:
        now = time.time()
        with self._transaction("IMMEDIATE") as connection:
            key = _partition_key(connection, stream, partition)
            first = _watermarks(connection, key).high
            rows = (
                (key * _PLACES + offset, now, json.dumps(dict(envelope.headers)), envelope.value)
                for offset, envelope in enumerate(envelopes, first)
            )
            connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", rows)
        return list(range(first, first + len(envelopes)))

    def prune(self, stream: str, partition: int, below_offset: int) -> None:
        with self._transaction("IMMEDIATE") as connection:
            key = _partition_key(connection, stream, partition)
            low = min(below_offset, _watermarks(connection, key).high)
            connection.execute("UPDATE partition SET low = max(low, ?) WHERE key = ?", (low, key))
            connection.execute(
                "DELETE FROM record WHERE place >= ? AND place < ?",
                (key * _PLACES, key * _PLACES + low),
            )

    def newest_within(self, stream: str, partition: int, size_bytes: int) -> int:
        with self._transaction("DEFERRED") as connection:
            key = _partition_key(connection, stream, partition)
            first = _watermarks(connection, key).high
            rows = connection.execute(
                "SELECT place, length(headers) + length(value) FROM record "
                "WHERE place >= ? AND place < ? ORDER BY place DESC",
                (key * _PLACES, (key + 1) * _PLACES),
            )
            with closing(rows):
                for place, record_bytes in rows:
                    size_bytes -= record_bytes
                    if size_bytes < 0:
                        break
                    first = place % _PLACES
            return first

    def reader(self, stream: str, offsets: Mapping[int, int]) -> Reader:
        connection = open_file(self._path, self._busy_timeout_seconds)
        try:
            return _EmbeddedReader(self._path, connection, stream, offsets)
        except BaseException:
            connection.close()
            raise

    def watermarks(self, stream: str, partition: int) -> Watermarks:
        with self._transaction("DEFERRED") as connection:
            return _watermarks(connection, _partition_key(connection, stream, partition))

    def close(self) -> None:
        with self._lock, explained(self._path):
            self._connection.close()

    @contextmanager
    def _transaction(self, mode: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self._path), transaction(self._connection, mode):
            yield self._connection


class _EmbeddedReader(Reader):
    """Reads through a connection of its own, so that it and a writing thread do not wait."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        stream: str,
        offsets: Mapping[int, int],
    ) -> None:
        self._path = path
        self._connection = connection
        self._stream = stream
        with explained(path):
            self._keys = _partition_keys(connection, stream)
        for partition in offsets:
            check_partition(stream, partition, len(self._keys))
        self._next = [offsets.get(partition, 0) for partition in range(len(self._keys))]
        self._pause_seconds = _SHORTEST_PAUSE_SECONDS

    @property
    def partitions(self) -> int:
        return len(self._keys)

    def poll(
        self, timeout_seconds: float, partitions: Collection[int] | None = None
    ) -> list[Record]:
        wanted = range(len(self._keys)) if partitions is None else partitions
        deadline = time.monotonic() + timeout_seconds
        while not (records := self._read(wanted)):
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0:
                return []
            time.sleep(min(self._pause_seconds, remaining_seconds))
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._pause_seconds = _SHORTEST_PAUSE_SECONDS
        for record in records:
            self._next[record.partition] = record.offset + 1
        return records

    def next_offset(self, partition: int) -> int:
        return self._next[partition]

    def close(self) -> None:
        with explained(self._path):
            self._connection.close()

    def _read(self, partitions: Collection[int]) -> list[Record]:
        records: list[Record] = []
        with explained(self._path), transaction(self._connection, "DEFERRED"):
            for partition in partitions:
                key, offset = self._keys[partition], self._next[partition]
                watermarks = _watermarks(self._connection, key)
                check_offset(self._stream, partition, offset, watermarks)
                if offset < watermarks.high:
                    records += self._read_partition(partition, key, offset)
        return records

    def _read_partition(self, partition: int, key: int, offset: int) -> Iterator[Record]:
        rows = self._connection.execute(
            "SELECT place, timestamp_seconds, headers, value FROM record "
            "WHERE place >= ? AND place < ? ORDER BY place",
            (key * _PLACES + offset, (key + 1) * _PLACES),
        )
        size_bytes = 0
        with closing(rows):
            for place, timestamp_seconds, headers, value in rows:
                yield Record(
                    partition, place % _PLACES, timestamp_seconds, json.loads(headers), value
                )
                size_bytes += len(value)
                if size_bytes >= POLL_BYTES / len(self._keys):
                    return


def _add_partitions(connection: sqlite3.Connection, stream: str, numbers: range) -> None:
    connection.executemany(
        "INSERT INTO partition (stream, number, low) VALUES (?, ?, 0)",
        [(stream, number) for number in numbers],
    )


def _find_partitions(connection: sqlite3.Connection, stream: str) -> list[int]:
    """The keys of the stream's partitions in their order; [] where there is no such stream."""
    rows = connection.execute(
        "SELECT key FROM partition WHERE stream = ? ORDER BY number", (stream,)
    )
    return [key for (key,) in rows]


def _partition_keys(connection: sqlite3.Connection, stream: str) -> list[int]:
    keys = _find_partitions(connection, stream)
    if not keys:
        raise stream_not_found(stream)
    return keys


def _partition_key(connection: sqlite3.Connection, stream: str, partition: int) -> int:
    keys = _partition_keys(connection, stream)
    check_partition(stream, partition, len(keys))
    return keys[partition]


def _watermarks(connection: sqlite3.Connection, key: int) -> Watermarks:
    (low,) = connection.execute("SELECT low FROM partition WHERE key = ?", (key,)).fetchone()
    highest = connection.execute(
        "SELECT place FROM record WHERE place >= ? AND place < ? ORDER BY place DESC LIMIT 1",
        (key * _PLACES, (key + 1) * _PLACES),
    ).fetchone()
    return Watermarks(low, low if highest is None else highest[0] % _PLACES + 1)
