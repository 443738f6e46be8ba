"""The journal: one JSON object a line, whatever happens, and never more than two files' worth."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from services import journal
from services.journal import Journal
from si_stream import events
from si_stream.errors import CheckpointError, Reason
from tests.checkpoints.test_files import no_file_above

OPENED = events.TaskOpened("a", number=0, head=0, known=1, samples=7)


def lines(path: Path) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_an_event_is_a_line_with_its_name_and_the_time(tmp_path: Path) -> None:
    book = Journal(tmp_path / "model")
    book.hear(OPENED)
    book.hear(events.Rejected(Reason.TOO_LARGE, "“ö” \n", 0, 5, None))
    first, second = lines(book.path)
    assert first.pop("time_seconds") > 1.7e9
    assert first == {
        "event": "TaskOpened",
        "task": "a",
        "number": 0,
        "head": 0,
        "known": 1,
        "samples": 7,
        "returned": False,
    }
    assert (second["reason"], second["detail"], second["row"]) == ("too_large", "“ö” \n", None)
    book.close()


def test_what_happens_all_the_time_is_left_to_the_metrics(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.hear(events.BatchLearned("a", 8, 0.001, step=1))
    book.hear(events.Received("train", 8, 0.0))
    book.hear(events.Progress("main", "a", 50, 400, 400, 8, 9.5, 0.1))
    book.hear(events.LayerMeasured("main", "0.weight", 1.0, 1.0))
    assert lines(book.path) == []
    book.close()


def test_a_number_that_is_none_is_null(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.hear(events.WorldCompared("b", 8, None, "a", math.nan, math.inf))
    [line] = lines(book.path)
    assert (line["distance"], line["limit"]) == (None, None)
    book.close()


def test_it_goes_on_where_it_was_left(tmp_path: Path) -> None:
    for _ in range(2):
        book = Journal(tmp_path)
        book.hear(OPENED)
        book.close()
    assert len(lines(tmp_path / journal.NAME)) == 2


def test_a_line_that_was_cut_short_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / journal.NAME
    path.write_text('{"event": "StreamEnded"}\n{"event": "Task')
    book = Journal(tmp_path)
    book.hear(OPENED)
    assert [line["event"] for line in lines(path)] == ["StreamEnded", "TaskOpened"]
    book.close()


def test_past_the_limit_a_new_file_is_begun_and_the_one_before_the_last_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 1000)
    book = Journal(tmp_path)
    for step in range(100):
        book.hear(events.StreamEnded(step=step, samples=0))
    book.close()
    kept = [*lines(tmp_path / journal.FORMER), *lines(tmp_path / journal.NAME)]
    assert [line["step"] for line in kept] == list(range(100 - len(kept), 100))
    assert sorted(path.name for path in tmp_path.iterdir()) == [journal.FORMER, journal.NAME]
    assert all(path.stat().st_size < 1200 for path in tmp_path.iterdir())


def test_a_full_disk_costs_lines_and_is_said_once_until_there_was_room_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Journal(tmp_path)
    for times in (1, 2):
        book.hear(OPENED)
        with no_file_above(book.path.stat().st_size + 5):
            for _ in range(3):
                book.hear(OPENED)
        assert len(caplog.messages) == times
        assert "File too large; make room" in caplog.messages[-1]
    book.hear(OPENED)
    assert len(lines(book.path)) == 3
    book.close()


def test_a_directory_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write into .*: File exists"):
        Journal(tmp_path / "file")
