"""The SQLite file that an embedded log lies in: opened, known to be one, its errors explained.

Invariant: a file that is something else, or a log of another version, is left as it is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from si_stream.errors import BrokerError

APPLICATION_ID = 0x53495374  # "SISt", which tells a stream log from other programs' files
SCHEMA_VERSION = 1
TABLES = (
    "stream (name TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID",
    """partition (
        key INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        number INTEGER NOT NULL,
        low INTEGER NOT NULL,
        UNIQUE (stream, number)
    )""",
    """record (
        place INTEGER PRIMARY KEY,
        timestamp_seconds REAL NOT NULL,
        headers TEXT NOT NULL,
        value BLOB NOT NULL
    )""",
)

# Messages are some 100 KB: with pages of this size they are read twice as fast as with
# SQLite's usual 4 KB, and with 64 KB the file grows by a quarter.
_PAGE_BYTES = 32 * 1024
_WAL_BYTES = 16 * 1024 * 1024

_ADVICE = {
    sqlite3.SQLITE_CANTOPEN: "cannot be opened or created; is its directory there and writable?",
    sqlite3.SQLITE_READONLY: "cannot be written; change the permissions of it and its directory",
    sqlite3.SQLITE_PERM: "cannot be read; change the permissions of it and its directory",
    sqlite3.SQLITE_NOTADB: "is not a stream log; name another path",
    sqlite3.SQLITE_CORRUPT: "is damaged; put a copy in its place or name another path",
    sqlite3.SQLITE_FULL: "has no room left on its disk; free some and try again",
    sqlite3.SQLITE_IOERR: "could not be read or written; look after its disk",
    sqlite3.SQLITE_BUSY: "is kept locked by another process; end that and try again",
}


def open_file(path: Path, busy_timeout_seconds: float) -> sqlite3.Connection:
    """A connection to the log at ``path``, which is made where there is none.

    It commits nothing by itself (see `transaction`), and any thread may use it, one at a time.

    Raises:
        BrokerError: the file cannot be opened, or is no stream log of this version.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=busy_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            if _is_new(connection, path):
                _create(connection, path, busy_timeout_seconds)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # macOS' own fsync stops at the drive
            connection.execute("PRAGMA secure_delete = OFF")  # or pruning overwrites with zeros
            connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE_BYTES}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection


def open_to_read(path: Path, busy_timeout_seconds: float) -> sqlite3.Connection:
    """A connection to the log at ``path`` that leaves no trace of itself.

    Raises:
        BrokerError: there is none, it cannot be opened, or is no stream log of this version.
    """
    if not path.exists():
        raise BrokerError(f"there is no log {path}; a learner or a sender makes it: check --broker")
    with explained(path):
        # Who may only read cannot make the files beside it; without them nobody is writing.
        wal = path.with_name(f"{path.name}-wal")
        how = "mode=ro" if wal.exists() else "mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"{path.as_uri()}?{how}",
            uri=True,
            timeout=busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if _is_new(connection, path):
                raise BrokerError(f"embedded:{path} holds nothing yet; start a learner or a sender")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def transaction(
    connection: sqlite3.Connection, mode: Literal["DEFERRED", "IMMEDIATE"]
) -> Iterator[None]:
    """All of the block or nothing; ``IMMEDIATE`` to write, ``DEFERRED`` to read one moment."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What SQLite raises in the block, as a `BrokerError` that names the file and the way out."""
    try:
        yield
    except sqlite3.Error as error:
        primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _ADVICE.get(primary_code, "failed")
        raise BrokerError(f"embedded:{path} {advice} (SQLite: {error})") from error
    except OSError as error:
        advice = _ADVICE[sqlite3.SQLITE_CANTOPEN]
        raise BrokerError(f"embedded:{path} {advice} ({error.strerror})") from error


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is empty yet; else it is ours and of this version."""
    ((application_id, version, tables),) = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) "
        "FROM pragma_application_id, pragma_user_version"
    )
    if application_id == 0 and version == 0 and tables == 0:
        return True
    if application_id != APPLICATION_ID:
        raise BrokerError(f"embedded:{path} is another program's database; name another path")
    if version != SCHEMA_VERSION:
        raise BrokerError(
            f"embedded:{path} is a stream log of version {version}, this program reads and writes "
            f"version {SCHEMA_VERSION}; name another path, or use the program that wrote it"
        )
    return False


def _create(connection: sqlite3.Connection, path: Path, busy_timeout_seconds: float) -> None:
    """Make the empty file a log, unless another process does so at the same time."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    _switch_to_wal(connection, time.monotonic() + busy_timeout_seconds)
    with transaction(connection, "IMMEDIATE"):
        if _is_new(connection, path):
            for table in TABLES:
                connection.execute(f"CREATE TABLE {table}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _switch_to_wal(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Of two processes that switch at once SQLite lets one fail, without any wait.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
