from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Broker, Envelope
from si_stream.brokers.log_file import open_file, transaction
from si_stream.brokers.memory import MemoryBroker
from si_stream.errors import BrokerError, PositionOutOfRange

ENVELOPE = Envelope({"ce_id": "e"}, b"value")

DIES_IN_MID_APPEND = """
import os, signal, sys
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope

class Dying:
    def __len__(self): return 100
    def __iter__(self):
        for _ in range(99):
            yield Envelope({}, bytes(1_000_000))
        os.kill(os.getpid(), signal.SIGKILL)

broker = EmbeddedBroker(sys.argv[1])
broker.create_stream("s")
broker.append("s", 0, [Envelope({}, b"first")])
broker.append("s", 0, Dying())
"""

WRITES_UNTIL_KILLED = """
import sys
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope
broker = EmbeddedBroker(sys.argv[1])
broker.create_stream("s")
while True:
    print(broker.append("s", 0, [Envelope({}, bytes(100_000))] * 5)[-1], flush=True)
"""

DISK_IS_FULL = """
import resource, sys
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope
from si_stream.errors import BrokerError
broker = EmbeddedBroker(sys.argv[1])
broker.create_stream("s")
broker.append("s", 0, [Envelope({}, bytes(100_000))])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
try:
    broker.append("s", 0, [Envelope({}, bytes(100_000))] * 100)
except BrokerError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(broker.append("s", 0, [Envelope({}, bytes(100_000))]))
"""


def test_a_writer_killed_in_mid_append_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    killed = subprocess.run([sys.executable, "-c", DIES_IN_MID_APPEND, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    with EmbeddedBroker(path) as broker, broker.reader("s", {}) as reader:
        assert [record.value for record in reader.poll(0)] == [b"first"]
        assert broker.append("s", 0, [ENVELOPE]) == [1]
        assert [record.value for record in reader.poll(0)] == [b"value"]


def test_a_writer_killed_at_any_time_leaves_whole_appends_and_all_that_it_was_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.sqlite"
    for appends_before_kill in (1, 4, 7):
        command = [sys.executable, "-c", WRITES_UNTIL_KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline() for _ in range(appends_before_kill)]
            writer.kill()
            told += writer.stdout.readlines()
        with EmbeddedBroker(path) as broker:
            low, high = broker.watermarks("s", 0)
            assert low == 0
            assert high > max(int(line) for line in told if line.endswith("\n"))
            assert high % 5 == 0


def test_a_disk_without_room_is_one_clear_error_and_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", DISK_IS_FULL, path], check=True, capture_output=True, text=True
    )
    error, offsets = done.stdout.splitlines()
    assert error.startswith(f"embedded:{path} ")
    assert "disk" in error
    assert offsets == "[1]"


def test_a_log_that_another_process_keeps_locked_is_a_clear_error_to_writers_only(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.sqlite"
    with EmbeddedBroker(path, busy_timeout_seconds=0.05) as broker:
        broker.create_stream("s")
        broker.append("s", 0, [ENVELOPE])
        locker = open_file(path, busy_timeout_seconds=1)
        with transaction(locker, "IMMEDIATE"):
            with pytest.raises(BrokerError, match="kept locked by another process"):
                broker.append("s", 0, [ENVELOPE])
            with broker.reader("s", {}) as reader:
                assert len(reader.poll(0)) == 1
        locker.close()
        assert broker.append("s", 0, [ENVELOPE]) == [1]


def test_a_closed_broker_raises_a_broker_error(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "log.sqlite")
    broker.create_stream("s")
    reader = broker.reader("s", {})
    broker.close()
    broker.close()
    reader.close()
    with pytest.raises(BrokerError, match="closed"):
        broker.append("s", 0, [ENVELOPE])
    with pytest.raises(BrokerError, match="closed"):
        reader.poll(0)


def test_a_log_made_anew_under_the_same_path_has_another_stream_id(tmp_path: Path) -> None:
    ids = set()
    for _ in range(2):
        for file in tmp_path.iterdir():
            file.unlink()
        with EmbeddedBroker(tmp_path / "log.sqlite") as broker:
            broker.create_stream("s")
            ids.add(broker.stream_id("s"))
    assert len(ids) == 2


def test_the_file_stops_growing_when_old_records_are_pruned(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with EmbeddedBroker(path) as broker:
        broker.create_stream("s")
        for _ in range(100):
            offsets = broker.append("s", 0, [Envelope({}, bytes(100_000))] * 10)
            broker.prune("s", 0, offsets[0])
        total_bytes = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert total_bytes < 40_000_000  # 100 MB went through it; the WAL takes 16 MiB or some more


def test_the_log_is_written_through_to_the_disk_before_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    connection = open_file(path, busy_timeout_seconds=1)
    ((mode,), (synchronous,)) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")
    )
    connection.close()
    assert mode == "wal"
    assert synchronous == 2  # FULL


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 1), st.integers(0, 5)),
        st.tuples(st.just("prune"), st.integers(0, 1), st.integers(0, 30)),
        st.tuples(st.just("read"), st.integers(0, 1), st.integers(0, 30)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=50)
@given(operations=OPERATIONS)
def test_it_answers_whatever_is_asked_as_the_broker_in_memory_does(
    operations: list[tuple[str, int, int]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedBroker(Path(directory) / "log.sqlite") as embedded,
        MemoryBroker() as memory,
    ):
        for broker in (embedded, memory):
            broker.create_stream("s", partitions=2)
        for index, operation in enumerate(operations):
            assert answer(embedded, index, operation) == answer(memory, index, operation)


def answer(broker: Broker, index: int, operation: tuple[str, int, int]) -> object:
    name, partition, number = operation
    if name == "append":
        return broker.append("s", partition, [Envelope({}, bytes([index]))] * number)
    if name == "prune":
        broker.prune("s", partition, number)
        return broker.watermarks("s", partition)
    low = broker.watermarks("s", 1 - partition).low
    try:
        with broker.reader("s", {partition: number, 1 - partition: low}) as reader:
            return [(record.partition, record.offset, record.value) for record in reader.poll(0)]
    except PositionOutOfRange as error:
        return str(error)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 1000)
    with pytest.raises(BrokerError, match=r"notes\.txt is not a stream log; name another path"):
        EmbeddedBroker(path)
    assert path.read_text() == "buy milk\n" * 1000


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "contacts.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE contact (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BrokerError, match="another program's database"):
        EmbeddedBroker(path)
    assert path.read_bytes() == before


def test_a_log_of_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    EmbeddedBroker(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(BrokerError, match=r"version 7, this program reads and writes version 1"):
        EmbeddedBroker(path)


def test_a_truncated_log_is_a_broker_error(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with EmbeddedBroker(path) as broker:
        broker.create_stream("s")
        broker.append("s", 0, [Envelope({}, bytes(100_000))] * 10)
    os.truncate(path, 300_000)
    with pytest.raises(BrokerError, match="is damaged"):  # noqa: SIM117 - where, it may choose
        with EmbeddedBroker(path) as broker, broker.reader("s", {}) as reader:
            reader.poll(0)


@pytest.mark.parametrize("where", ["file/log.sqlite", "."])
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match="cannot be opened or created"):
        EmbeddedBroker(tmp_path / where)


def test_a_directory_that_is_missing_is_made(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "new" / "directory" / "log.sqlite") as broker:
        broker.create_stream("s")
        assert broker.append("s", 0, [ENVELOPE]) == [0]


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:  # one that others may look into, unlike pytest's
        directory = Path(name)
        directory.chmod(0o555)
        with (
            unprivileged(),
            pytest.raises(BrokerError, match="cannot be opened or created"),
        ):
            EmbeddedBroker(directory / "log.sqlite")
        assert list(directory.iterdir()) == []


@pytest.mark.parametrize("in_use", [True, False])
def test_opened_to_be_read_it_is_read_and_left_as_it_is(in_use: bool, tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with EmbeddedBroker(path) as broker:
        broker.create_stream("s")
        broker.append("s", 0, [ENVELOPE] * 3)
        if not in_use:
            broker.close()
        names, before = {one.name for one in tmp_path.iterdir()}, path.read_bytes()
        with EmbeddedBroker(path, read_only=True) as reading:
            assert reading.watermarks("s", 0) == (0, 3)
            with pytest.raises(BrokerError, match="cannot be written"):
                reading.append("s", 0, [ENVELOPE])
        assert ({one.name for one in tmp_path.iterdir()}, path.read_bytes()) == (names, before)


def test_opened_to_be_read_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="there is no log"):
        EmbeddedBroker(tmp_path / "none.sqlite", read_only=True)
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(BrokerError, match="holds nothing yet"):
        EmbeddedBroker(tmp_path / "empty.sqlite", read_only=True)
    assert [one.name for one in tmp_path.iterdir()] == ["empty.sqlite"]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root, who may write into any directory, acts as nobody in particular."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_no_room_left_in_the_file_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with EmbeddedBroker(path) as broker:
        broker.create_stream("s")
        broker._connection.execute("PRAGMA max_page_count = 20")
        with pytest.raises(BrokerError, match="has no room left on its disk"):
            broker.append("s", 0, [Envelope({}, bytes(1_000_000))])
        assert broker.append("s", 0, [ENVELOPE]) == [0]
