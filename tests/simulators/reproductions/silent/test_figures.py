"""The pictures, of records made by hand: each thing that is marked is there to be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from simulators.reproductions.silent.figures import draw
from simulators.reproductions.silent.summary import summarised
from simulators.reproductions.silent.trial import AlarmRecord, Close, ErrorRecord, TrialRecord
from tests.simulators.reproductions.silent.making import alarm, record

COLOURS = {"found": (0, 158, 115), "false": (204, 121, 167), "missed": (213, 94, 0)}


def with_errors(place: int = 1000, *, is_true: bool = True) -> ErrorRecord:
    flat, close = [0.1] * 200, "0" * 256 + "10" * 256
    around = Close(place=place, is_true=is_true, first=744, told=close, silent=close, taken_back="")
    return ErrorRecord(bin_samples=10, told=flat, silent=flat, places=[around])


def colours(directory: Path, run: TrialRecord) -> set[str]:
    """Which of the marks' colours are in the picture of a scenario, beside its legend's."""
    draw({"it": [run]}, {"it": summarised("title", [run])}, directory)
    pixels = (imread(directory / "it.png")[..., :3] * 255).round().astype(int)
    upper = pixels[: len(pixels) // 2]
    return {
        name
        for name, colour in COLOURS.items()
        if (np.abs(upper - np.array(colour)).max(axis=2) <= 2).any()
    }


@pytest.mark.parametrize(
    ("alarms", "marked"),
    [
        ([alarm(1003, 1040)], {"found"}),
        ([], {"missed"}),
        ([alarm(1003, 1040), alarm(500, 600)], {"found", "false"}),
        ([alarm(500, 600)], {"missed", "false"}),
        ([alarm(1003, 1040), alarm(500, 600, "weak-evidence")], {"found"}),
    ],
)
def test_what_is_found_and_missed_and_false_is_marked(
    tmp_path: Path, alarms: list[AlarmRecord], marked: set[str]
) -> None:
    assert colours(tmp_path, record(alarms=alarms, errors=with_errors())) == marked


def test_a_stream_in_which_nothing_changes_has_a_picture_too(tmp_path: Path) -> None:
    still = with_errors().model_copy(update={"places": []})
    assert colours(tmp_path, record(true_boundaries=[], alarms=[], errors=still)) == set()
    assert (tmp_path / "summary.png").exists()


def test_without_a_record_that_has_errors_there_is_the_summary_alone(tmp_path: Path) -> None:
    run = record(1)
    draw({"it": [run]}, {"it": summarised("title", [run])}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.png"]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    run = record(errors=with_errors())
    for name in "ab":
        draw({"it": [run]}, {"it": summarised("title", [run])}, tmp_path / name)
    for name in ("it.png", "summary.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
