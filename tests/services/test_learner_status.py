"""What a learner says of itself is read back as it was said, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.learner_status import NAME, read_status
from tests.services.statuses import a_status


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(a_status().model_dump_json())
    assert read_status(tmp_path) == a_status()


@pytest.mark.parametrize("text", ["", '{"format": "si-stream-status/1"', '{"format": "other"}'])
def test_what_is_cut_short_or_of_another_format_counts_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    assert read_status(tmp_path) is None


def test_where_there_is_no_learner_there_is_none(tmp_path: Path) -> None:
    assert read_status(tmp_path / "none") is None


def test_one_that_has_said_nothing_for_more_than_five_seconds_is_away() -> None:
    status = a_status(written_seconds=100.0)
    assert [status.is_away(now) for now in (100.0, 105.0, 105.1)] == [False, False, True]
    assert [status.is_away(now) for now in (99.0, 94.0)] == [False, True]  # a clock set back
    assert not a_status(status="stopped", written_seconds=100.0).is_away(999.0)
