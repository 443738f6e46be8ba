"""What else lies in a model's directory, and lies: it is refused, takes no memory, and holds up
neither the page nor a learner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.journal import NAME as JOURNAL
from services.journal import Journal
from services.journal_reading import JournalReader
from services.learner_status import NAME as STATUS
from services.learner_status import read_status
from services.predictor.board import Board
from services.predictor.follower import Follower
from si_stream import events
from si_stream.errors import CheckpointError
from tests.memory import memory_within
from tests.services.statuses import a_status

MEGABYTES = 32
OPENED = events.TaskOpened("a", 0, 0, 1, 0)


def journalled(directory: Path) -> Path:
    journal = Journal(directory)
    journal.hear(OPENED)
    journal.close()
    return directory / JOURNAL


def test_a_status_is_small_and_a_file(tmp_path: Path) -> None:
    status, text = tmp_path / STATUS, a_status().model_dump_json()
    status.write_text(text)
    assert read_status(tmp_path) is not None
    os.truncate(status, 2**40)
    with memory_within(MEGABYTES):
        assert read_status(tmp_path) is None
    status.write_text("[" * 500_000)
    assert read_status(tmp_path) is None
    (elsewhere := tmp_path / "elsewhere").write_text(text)
    status.unlink()
    status.symlink_to(elsewhere)
    assert read_status(tmp_path) is None
    status.unlink()
    os.mkfifo(status)
    assert read_status(tmp_path) is None


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_journal_that_is_no_file_is_neither_read_nor_waited_for(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = journalled(tmp_path)
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere) if kind == "link" else os.mkfifo(path)
    with pytest.raises(OSError, match=r"it is (a symbolic link|no regular file)"):
        JournalReader(tmp_path).read()
    sections = Board(tmp_path, Follower(tmp_path, 60)).look()
    assert sections["events"] == b"[]"
    assert "cannot read the journal" in caplog.text
    if kind == "link":
        with pytest.raises(CheckpointError, match="cannot write into"):
            Journal(tmp_path)
        assert elsewhere.read_text().count("\n") == 1


HOSTILE = [
    b"[" * 200_000,
    b'{"event":' * 50_000,
    b'{"event":"TaskOpened","time_seconds":1e999}',
    b'{"event":"TaskOpened","time_seconds":0,"task":' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"event":"__import__","time_seconds":0}',
    b'{"event":["TaskOpened"],"time_seconds":0}',
    b"\x00" * 1000,
    b"\xff\xfe",
]


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    path = journalled(tmp_path)
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in HOSTILE)
    journalled(tmp_path)
    reader, told = JournalReader(tmp_path), []
    with memory_within(MEGABYTES):
        while (reading := reader.read()).told or reading.more:
            told += [one.event for one in reading.told]
    assert told == [OPENED, OPENED]


def test_a_line_without_end_is_neither_held_nor_kept(tmp_path: Path) -> None:
    path = journalled(tmp_path)
    os.truncate(path, 2**31)
    with memory_within(MEGABYTES):
        reading = JournalReader(tmp_path).read()
        journalled(tmp_path)
    assert [one.event for one in reading.told] == [OPENED]
