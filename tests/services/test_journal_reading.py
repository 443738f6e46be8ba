"""A journal is read as it grows: every line once, whatever becomes of its files meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services import journal
from services.journal import FORMER, NAME, Journal
from services.journal_reading import CHUNK_BYTES, JournalReader
from si_stream import events

OPENED = events.TaskOpened("a", number=0, head=0, known=1, samples=7)


def ended(step: int) -> events.StreamEnded:
    return events.StreamEnded(step=step, samples=0)


def rest(reader: JournalReader) -> list[events.Event]:
    """What is new, to the end."""
    told: list[events.Event] = []
    while (reading := reader.read()).more:
        told += [one.event for one in reading.told]
    return told


def steps(told: list[events.Event]) -> list[int]:
    return [event.step for event in told if isinstance(event, events.StreamEnded)]


def test_what_was_written_is_read_and_later_what_is_new(tmp_path: Path) -> None:
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    book.hear(OPENED)
    assert rest(reader) == [OPENED]
    assert rest(reader) == []
    book.hear(ended(1))
    reading = reader.read()
    assert (reading.anew, [one.event for one in reading.told]) == (False, [ended(1)])
    assert reading.told[0].time_seconds > 1.7e9
    book.close()


def test_where_there_is_no_journal_there_is_nothing_until_there_is_one(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "later")
    assert reader.read() == (False, [], False)
    book = Journal(tmp_path / "later")
    assert reader.read() == (False, [], False)  # the file is empty
    book.hear(OPENED)
    assert rest(reader) == [OPENED]
    book.close()


def test_kinds_that_are_of_no_use_are_passed_over(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.hear(ended(1))
    book.hear(OPENED)
    assert rest(JournalReader(tmp_path, skip=(events.StreamEnded,))) == [OPENED]
    book.close()


@pytest.mark.parametrize("looks_every", [1, 7, 90])
def test_a_new_file_is_gone_on_with_without_a_gap_or_a_doubled_line(
    looks_every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 10_000)  # some 140 lines
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    told: list[events.Event] = []
    for step in range(1000):
        book.hear(ended(step))
        if step % looks_every == 0:
            told += rest(reader)
    told += rest(reader)
    assert steps(told) == [*range(1000)]
    assert (tmp_path / FORMER).exists()
    book.close()


def test_who_looks_too_seldom_is_told_to_begin_anew_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 1000)
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    book.hear(ended(0))
    assert steps(rest(reader)) == [0]
    for step in range(1, 100):
        book.hear(ended(step))
    reading = reader.read()
    assert reading.anew
    kept = steps([one.event for one in reading.told] + rest(reader))
    assert kept == [*range(kept[0], 100)]
    assert kept[0] > 1
    book.close()


def test_a_model_that_is_begun_anew_has_a_journal_of_its_own(tmp_path: Path) -> None:
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    book.hear(ended(1))
    assert steps(rest(reader)) == [1]
    book.close()
    (tmp_path / NAME).unlink()
    assert reader.read().anew
    book = Journal(tmp_path)
    book.hear(ended(2))
    assert steps(rest(reader)) == [2]
    book.close()


def test_half_a_line_is_waited_for_and_one_that_is_cut_away_was_never_read(tmp_path: Path) -> None:
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    book.hear(ended(1))
    book.close()
    path = tmp_path / NAME
    with path.open("ab") as file:
        file.write(b'{"event":"StreamEnded","time_')
    assert steps(rest(reader)) == [1]
    book = Journal(tmp_path)  # as a learner that starts does, it takes the half line away
    book.hear(ended(2))
    assert steps(rest(reader)) == [2]
    book.close()


def test_a_file_that_becomes_the_older_one_while_they_are_opened_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 1000)
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    step = 0
    while not (tmp_path / FORMER).exists() or step % 5:
        book.hear(ended(step))
        step += 1
    told = steps(rest(reader))
    opened = Path.open

    def opened_slowly(path: Path, *how: Any) -> Any:
        nonlocal step
        file = opened(path, *how)
        monkeypatch.setattr(Path, "open", opened)
        former = (tmp_path / FORMER).stat().st_ino
        while (tmp_path / FORMER).stat().st_ino == former:
            book.hear(ended(step))
            step += 1
        return file

    monkeypatch.setattr(Path, "open", opened_slowly)
    reading = reader.read()
    assert not reading.anew
    told += steps([one.event for one in reading.told] + rest(reader))
    assert told == [*range(step)]
    book.close()


def test_evidence_without_a_bound_is_null_and_told(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.hear(events.Alarmed("a", 2, 1, float("inf"), "taken", "errors", {}))
    unbounded = events.Alarmed("a", 2, 1, None, "taken", "errors", {})  # type: ignore[arg-type]
    assert rest(JournalReader(tmp_path)) == [unbounded]
    book.close()


DAMAGED = {
    "no JSON": b"\x00\x00{",
    "no object": b"[1]",
    "another version's": b'{"event":"Unheard","time_seconds":1.0}',
    "a member too few": b'{"event":"StreamEnded","time_seconds":1.0,"step":1}',
    "no time": b'{"event":"StreamEnded","time_seconds":null,"step":1,"samples":0}',
    "null for a number": (
        b'{"event":"Evaluated","time_seconds":1.0,"track":"main","task":"a","step":1,"samples":8,'
        b'"accuracy":null,"standard_error":0.1,"holdout_samples":9,"forgetting":null}'
    ),
    "a name of the module that is no event": b'{"event":"Callable","time_seconds":1.0}',
    "longer than any event": b"x" * (2 * CHUNK_BYTES),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_line_is_passed_over(damage: str, tmp_path: Path) -> None:
    book, reader = Journal(tmp_path), JournalReader(tmp_path)
    book.hear(ended(1))
    book.close()
    with (tmp_path / NAME).open("ab") as file:
        file.write(DAMAGED[damage] + b"\n")
    book = Journal(tmp_path)
    book.hear(ended(2))
    book.close()
    assert steps(rest(reader)) == [1, 2]
