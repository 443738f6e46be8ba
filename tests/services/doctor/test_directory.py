"""Checkpoints that are damaged or another model's, and learners that are or were at work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services.doctor.directory import look, of_checkpoints
from services.doctor.wholeness import newest_whole
from services.learner_status import NAME
from tests.services.doctor.models import checkpointed, damage, state_of
from tests.services.statuses import a_status
from tests.streams import settings


def test_no_directory_is_well_and_a_file_in_its_place_is_not(tmp_path: Path) -> None:
    assert state_of(look(settings(tmp_path / "new")), "directory")[0] == "ok"
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    assert state_of(look(settings(tmp_path / "file")), "directory")[0] == "fail"


def test_of_checkpoints_the_damaged_are_told_of_and_the_newest_whole_one_counts(
    tmp_path: Path,
) -> None:
    chosen, about = settings(tmp_path), "directory: checkpoints"
    assert state_of(look(chosen), about) == ("ok", f"none in {tmp_path} yet → ")
    first, second = checkpointed(chosen), checkpointed(chosen)
    kind, text = state_of(look(chosen), about)
    assert kind == "ok"
    assert text.startswith("2 whole, the newest 2/1 of ")
    damage(second)
    kind, text = state_of(look(chosen), about)
    assert kind == "warn"
    assert "1 whole, the newest 1/1 " in text
    assert "damaged: 2/1 → look at the disk: " in text
    newest = newest_whole(tmp_path)
    assert newest is not None
    assert newest.epoch == 1
    damage(first)
    kind, text = state_of(look(chosen), about)
    assert kind == "fail"
    assert "all 2 are damaged: " in text
    assert newest_whole(tmp_path) is None


def test_checkpoints_that_cannot_be_listed_are_not_told_of_as_none(tmp_path: Path) -> None:
    (tmp_path / "epochs").touch()
    kind, text = state_of(look(settings(tmp_path)), "directory: checkpoints")
    assert kind == "fail"
    assert "cannot list " in text
    assert newest_whole(tmp_path) is None


@pytest.mark.parametrize(
    ("newest_seconds", "all_seconds", "seen"),
    [
        (60.0, 60.0, "3 whole, the newest 3/1 of "),
        (60.0, 0.0, "1 whole, 2 not read for want of time, the newest 3/1 of "),
        (0.0, 0.0, "0 whole, 3 not read for want of time, the newest 3/1 of "),
    ],
)
def test_of_checkpoints_too_large_to_be_read_in_time_it_is_said_that_they_were_not(
    newest_seconds: float, all_seconds: float, seen: str, tmp_path: Path
) -> None:
    for _ in range(3):
        checkpointed(settings(tmp_path))
    [finding] = of_checkpoints(tmp_path, newest_seconds, all_seconds)
    assert finding.state == "ok"
    assert finding.seen.startswith(seen)


@pytest.mark.parametrize(
    ("groups", "state", "text"),
    [
        ({}, "ok", "of the model of these settings"),
        ({"model": {"input_shape": ()}}, "ok", "no model in the settings"),
        ({"model": {"batch_size": 9}}, "fail", "another model: model.batch_size: 9, not 8 → start"),
        ({"learner": {"shadow": "none"}}, "fail", "another model: shadow: 'none', not 'off'"),
        ({"optimiser": {"learning_rate": 0.5}}, "fail", "other settings: optimiser.learning_rate"),
        (
            {"optimiser": {"learning_rate": 0.5}, "learner": {"accept_changes": True}},
            "ok",
            "of these settings",
        ),
    ],
)
def test_settings_that_a_learner_would_be_refused_with_are_told_of(
    groups: dict[str, Any], state: str, text: str, tmp_path: Path
) -> None:
    checkpointed(settings(tmp_path))
    kind, told = state_of(look(settings(tmp_path, **groups)), "directory: identity")
    assert kind == state
    assert text in told


def test_a_learner_at_work_is_told_from_one_that_has_stopped_and_one_that_is_gone(
    tmp_path: Path,
) -> None:
    about, now = "directory: learner", time.time()

    def told(**changes: Any) -> tuple[str, str]:
        (tmp_path / NAME).write_text(a_status(**changes).model_dump_json())
        return state_of(look(settings(tmp_path)), about)

    assert state_of(look(settings(tmp_path)), about)[0] == "ok"
    kind, text = told(written_seconds=now)
    assert kind == "ok"
    assert text.startswith("one is learning (process 7, epoch 1, step 300); a second one would")
    kind, text = told(written_seconds=now - 60, status="stopped")
    assert kind == "ok"
    assert "stopped in good order 60 s ago" in text
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kind, text = told(written_seconds=now - 60, pid=ended.pid)
    assert kind == "warn"
    assert "gone without a word → start it again" in text
    assert "is there and says nothing" in told(written_seconds=now - 60, pid=os.getpid())[1]
