"""A learner's status lies in its directory, whole; where it cannot, learning goes on."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from services.learner_status import NAME, LearnerStatus, read_status
from services.status_writing import StatusWriting
from tests.checkpoints.test_files import no_file_above
from tests.services.statuses import a_status


def test_it_is_written_at_once_then_every_second_and_at_the_end(tmp_path: Path) -> None:
    step = 0

    def status() -> LearnerStatus:
        nonlocal step
        step += 1
        return a_status(step=step)

    writing = StatusWriting(tmp_path, status)
    writing.start()
    while not (read := read_status(tmp_path)) or read.step < 2:
        time.sleep(0.01)
    writing.close()
    assert read_status(tmp_path) == a_status(step=step)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_one_that_was_never_started_is_closed_without_a_word(tmp_path: Path) -> None:
    StatusWriting(tmp_path, a_status).close()
    assert [*tmp_path.iterdir()] == []


def test_what_a_learner_that_has_taken_over_wrote_is_left_alone(tmp_path: Path) -> None:
    later = a_status(epoch=2, started_seconds=2_000_000.0)
    StatusWriting(tmp_path, lambda: later).write()
    StatusWriting(tmp_path, lambda: a_status(epoch=1)).write()
    assert read_status(tmp_path) == later


@pytest.mark.parametrize(
    "older",
    [
        a_status(epoch=1, started_seconds=9_000_000.0),  # its clock went wrong
        a_status(epoch=9, started_seconds=1.0),  # of before a backup was put back
    ],
)
def test_what_an_earlier_learner_wrote_is_replaced(older: LearnerStatus, tmp_path: Path) -> None:
    StatusWriting(tmp_path, lambda: older).write()
    StatusWriting(tmp_path, lambda: a_status(epoch=2)).write()
    assert read_status(tmp_path) == a_status(epoch=2)


def test_a_full_disk_is_said_once_and_leaves_what_was_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    StatusWriting(tmp_path, lambda: a_status(step=1)).write()
    writing = StatusWriting(tmp_path, lambda: a_status(step=2))
    with no_file_above(100):
        for _ in range(3):
            writing.write()
    assert len(caplog.messages) == 1
    assert "File too large; make room" in caplog.messages[0]
    assert read_status(tmp_path) == a_status(step=1)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    writing.write()
    assert read_status(tmp_path) == a_status(step=2)


def test_what_nobody_foresaw_ends_neither_the_learner_nor_the_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asked = 0

    def status() -> LearnerStatus:
        nonlocal asked
        asked += 1
        if asked < 2:
            raise RuntimeError("dictionary changed size during iteration")
        return a_status()

    writing = StatusWriting(tmp_path, status)
    writing.start()
    while read_status(tmp_path) is None:
        time.sleep(0.01)
    writing.close()
    assert len(caplog.messages) == 1
