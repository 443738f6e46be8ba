"""A directory for one predictor's copy."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from services.learner import run
from services.predictor.mirror.place import MARK, Place, source_of_mirror
from si_stream.errors import CheckpointError, SettingsError
from tests.services.predictor.serving import Teacher
from tests.streams import settings

URL = "http://learner:9101"


def test_two_predictors_do_not_share_one(tmp_path: Path) -> None:
    with (
        closing(Place(tmp_path, URL)),
        pytest.raises(SettingsError, match=rf"another predictor .*--source {tmp_path}"),
    ):
        Place(tmp_path, URL)
    Place(tmp_path, URL).close()


def test_of_a_process_that_was_killed_it_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; "
        "from services.predictor.mirror.place import Place; "
        f"Place(Path({str(tmp_path)!r}), 'x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert source_of_mirror(tmp_path) == "x"
    Place(tmp_path, URL).close()
    assert source_of_mirror(tmp_path) == URL


def test_a_learners_directory_is_left_alone(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish()
    with pytest.raises(SettingsError, match=r"holds a model that is no copy; .*--source DIRECTORY"):
        Place(tmp_path, URL)
    assert [path.name for path in tmp_path.iterdir()] == ["epochs"]


def test_no_learner_starts_in_a_copy(tmp_path: Path) -> None:
    Place(tmp_path, URL).close()
    with pytest.raises(SettingsError, match=rf"is a copy of what {URL} has published"):
        run(settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [MARK]


def test_a_directory_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write into"):
        Place(tmp_path / "file", URL)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_mark_is_a_mark_whatever_has_become_of_it(content: bytes, tmp_path: Path) -> None:
    assert source_of_mirror(tmp_path) is None
    (tmp_path / MARK).write_bytes(content)
    assert source_of_mirror(tmp_path) == "another machine"
