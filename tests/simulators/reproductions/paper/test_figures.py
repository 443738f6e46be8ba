"""The pictures, of records made by hand: what was run is there to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from matplotlib.image import imread

from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import JOINT, SCRATCH, Shape
from simulators.reproductions.paper.figures import draw
from simulators.reproductions.paper.record import PaperRecord, Row
from tests.simulators.reproductions.paper.making import (
    DIGITS,
    NONE,
    SHORT,
    held_back,
    importance,
    record,
)

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)
every = pytest.mark.parametrize("shape", get_args(Shape))


def drawn(shape: Shape, directory: Path, *records: PaperRecord) -> Path:
    found: dict[str, list[PaperRecord]] = {}
    for one in records:
        found.setdefault(one.scenario, []).append(one)
    draw(DIGITS.model_copy(update={"figure": shape}), found, directory)
    return directory / "summary.png"


def has(path: Path, colour: tuple[int, int, int]) -> bool:
    pixels = (imread(path)[..., :3] * 255).round().astype(int)
    return bool((np.abs(pixels - np.array(colour)).max(axis=2) <= 2).any())


@every
def test_each_arm_is_in_the_picture(shape: Shape, tmp_path: Path) -> None:
    none = record(arm=Arm(NONE, None, 2, 2))
    both = drawn(shape, tmp_path / "both", record(), record(1), none)
    assert has(both, BLUE)
    assert has(both, ORANGE)
    alone = drawn(shape, tmp_path / "alone", none)
    assert not has(alone, BLUE)
    assert has(alone, ORANGE)


@every
def test_joint_training_and_single_tasks_are_in_it_too(shape: Shape, tmp_path: Path) -> None:
    rows = [Row(after="b", test={"a": 0.9, "b": 0.8}, train={"a": 1.0, "b": 1.0})]
    more = [record(arm=Arm(method, None, 2, 2), rows=rows) for method in (JOINT, SCRATCH)]
    path = drawn(shape, tmp_path / "more", record(), *more)
    assert path.read_bytes() != drawn(shape, tmp_path / "one", record()).read_bytes()


@every
def test_the_same_records_give_the_same_bytes(shape: Shape, tmp_path: Path) -> None:
    first, second = (drawn(shape, tmp_path / name, record()).read_bytes() for name in "ab")
    assert first == second


@every
def test_what_a_strength_is_chosen_by_is_not_shown(shape: Shape, tmp_path: Path) -> None:
    path = drawn(shape, tmp_path, held_back(SHORT._replace(validation=True), 0.9))
    assert not path.exists()


def test_importance_has_a_picture_of_those_that_were_looked_at(tmp_path: Path) -> None:
    drawn("curves", tmp_path / "none", record())
    assert not (tmp_path / "none" / "importance.png").exists()
    none = record(arm=Arm(NONE, None, 2, 2), importance=importance(0.5))
    drawn("curves", tmp_path / "one", none)
    drawn("curves", tmp_path / "two", record(importance=importance(-0.5)), none)
    one, two = (imread(tmp_path / name / "importance.png") for name in ("one", "two"))
    assert len(two) > len(one)  # a row each
    red, blue = (pixels[..., 0] - pixels[..., 2] for pixels in (one, two))
    assert red.max() > 0.3
    assert blue.min() < -0.3
