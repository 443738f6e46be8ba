from __future__ import annotations

from pathlib import Path

from simulators.reproductions.paper.reproduction import PaperBenchmark, chosen_arm
from simulators.reproductions.records import Records
from tests.simulators.reproductions.paper.making import DIGITS, SHORT, held_back, record

WEAKER = SHORT._replace(strength=0.1)
RIVALS = [arm._replace(validation=True) for arm in (SHORT, WEAKER)]


def test_all_arms_that_have_records_are_shown_the_stronger_first() -> None:
    reproduction = PaperBenchmark("split-digits", (SHORT,))
    assert reproduction.scenarios == [SHORT.name(DIGITS)]
    names = ["none", WEAKER.name(DIGITS), "hope", SHORT.name(DIGITS)]
    assert reproduction.shown(names) == [SHORT.name(DIGITS), WEAKER.name(DIGITS), "none"]


def test_the_arm_that_did_best_on_what_was_held_back_is_chosen(tmp_path: Path) -> None:
    records = Records(tmp_path, type(record()))
    for arm, accuracy in zip(RIVALS, (0.8, 0.9), strict=True):
        records.write(held_back(arm, accuracy))
    assert chosen_arm(RIVALS, DIGITS, tmp_path, 1) == WEAKER


def test_of_two_equals_the_weaker_is_chosen(tmp_path: Path) -> None:
    records = Records(tmp_path, type(record()))
    for arm in RIVALS:
        records.write(held_back(arm, 0.8))
    assert chosen_arm(RIVALS, DIGITS, tmp_path, 1) == WEAKER


def test_its_line_tells_what_was_forgotten() -> None:
    line = PaperBenchmark("split-digits", ()).line(record())
    assert "75.00% on average, 20.00 points forgotten" in line
