from __future__ import annotations

import json
from pathlib import Path

import pytest

from si_stream.errors import DataError
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.overview import overview, write_overview
from tests.simulators.reproductions.paper.making import (
    DIGITS,
    NONE,
    SHORT,
    SI,
    held_back,
    record,
    rows,
    summary,
)

BETTER = rows([1.0], [1.0, 1.0])
WEAKER = SHORT._replace(strength=0.1)


def test_a_method_is_shown_at_the_authors_strength_though_another_came_out_better() -> None:
    found = overview(DIGITS, summary(record(arm=WEAKER, rows=BETTER), record()))
    assert list(found) == ["si"]
    assert (found["si"]["strength"], found["si"]["average_accuracy"]) == (1.0, 0.75)
    assert found["si"]["backward_transfer"] == -0.2
    assert found["si"]["reduced"] is True


def test_the_longest_runs_are_shown() -> None:
    longer = SHORT._replace(epochs=3)
    found = overview(
        DIGITS, summary(record(), record(arm=longer), record(arm=Arm(NONE, None, 2, 2)))
    )
    assert found["si"]["epochs"] == 3
    assert found["none"]["strength"] is None


def test_a_variation_is_not_shown_for_its_method() -> None:
    varied = SHORT._replace(variation="adam-kept", epochs=3)
    found = overview(DIGITS, summary(record(), record(arm=varied, rows=BETTER)))
    assert {name: one["epochs"] for name, one in found.items()} == {"si": 2}


def test_runs_that_are_longer_than_the_authors_are_not_shown_before_theirs() -> None:
    own = Arm(SI, 1.0, DIGITS.epochs, DIGITS.tasks)
    for other in (
        own._replace(epochs=2 * own.epochs, strength=5.0),
        own._replace(tasks=own.tasks + 1),
    ):
        found = overview(DIGITS, summary(record(arm=other), record(arm=own)))
        assert (found["si"]["epochs"], found["si"]["tasks"]) == (own.epochs, own.tasks)
        assert found["si"]["strength"] == 1.0


def test_strengths_are_compared_over_the_seeds_that_all_of_them_have() -> None:
    once, twice = (arm._replace(validation=True) for arm in (SHORT, WEAKER))
    tried = [held_back(once, 0.9), held_back(twice, 0.95), held_back(twice, 0.5, seed=1)]
    found = summary(record(), record(arm=WEAKER), *tried)
    assert overview(DIGITS, found)["si-chosen"]["strength"] == 0.1


def test_one_strength_alone_is_no_choice() -> None:
    found = summary(record(), held_back(SHORT._replace(validation=True), 0.9))
    assert overview(DIGITS, found).keys() == {"si"}


def test_a_strength_that_was_chosen_has_a_line_of_its_own() -> None:
    tried = [held_back(arm._replace(validation=True), 0.9) for arm in (SHORT, WEAKER)]
    tried[1] = held_back(WEAKER._replace(validation=True), 0.95)
    other = held_back(SHORT._replace(epochs=9, validation=True), 1.0)
    found = overview(DIGITS, summary(record(), record(arm=WEAKER), *tried, other))
    assert {name: one["strength"] for name, one in found.items()} == {"si": 1.0, "si-chosen": 0.1}
    assert overview(DIGITS, summary(record(), *tried)).keys() == {"si"}


def test_the_file_has_the_benchmarks_that_have_a_summary(tmp_path: Path) -> None:
    (tmp_path / "split-digits.json").write_text(json.dumps(summary(record())))
    written = json.loads(write_overview(tmp_path).read_text())
    assert list(written) == ["split-digits"]
    assert written["split-digits"]["si"]["device"] == "cpu"
    assert SI not in written["split-digits"]


@pytest.mark.parametrize("text", ["{", "[]", "[1]", '{"a": 1}', '{"a": {"tested_on": "test"}}'])
def test_a_summary_that_is_no_good_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "split-digits.json").write_text(text)
    with pytest.raises(DataError, match=r"split-digits\.json is damaged or of another version"):
        write_overview(tmp_path)
    assert not (tmp_path / "summary.json").exists()
