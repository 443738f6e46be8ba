from __future__ import annotations

from simulators.reproductions.paper.catalogue import BENCHMARKS
from simulators.reproductions.paper.published import PUBLISHED
from simulators.reproductions.paper.record import Row
from simulators.reproductions.paper.table import table
from tests.simulators.reproductions.paper.making import (
    DIGITS,
    SHORT,
    held_back,
    importance,
    record,
    rows,
    summary,
)

RIVAL = SHORT._replace(validation=True)


def test_it_has_a_line_for_each_arm_and_says_what_is_reduced() -> None:
    lines = table(DIGITS, summary(record())).splitlines()
    assert lines[2:] == [
        "| SI | 1 | 2 | 2 | 1 | 75.00 | 20.00 | 76.00 | here, reduced |",
        "",
        "| average after so many tasks, % | 1 | 2 | 3 | 4 | 5 | source |",
        "|---|--:|--:|--:|--:|--:|---|",
        "| SI, c = 1, 2 epochs, 2 tasks | 90.0 | 75.0 |  |  |  | here, reduced |",
    ]


def test_it_says_by_what_a_strength_was_chosen() -> None:
    weaker = RIVAL._replace(strength=0.1)
    text = table(DIGITS, summary(record(), held_back(RIVAL, 0.9), held_back(weaker, 0.8)))
    assert "| here, reduced, c chosen on training samples held back |" in text
    assert "| here, reduced, on training samples held back |" in text


def test_it_has_room_for_more_tasks_than_the_authors() -> None:
    arm = SHORT._replace(tasks=7)
    names = list("abcdefg")
    begun = [dict.fromkeys(names[: n + 1], 0.5) for n in range(7)]
    many = [Row(after=list(one)[-1], test=one, train=one) for one in begun]
    text = table(DIGITS, summary(record(arm=arm, tasks=names, rows=many), record()))
    _, parts = text.split("\n\n")
    assert {line.count("|") for line in parts.splitlines()} == {10}


def test_a_detail_done_otherwise_has_a_line_with_its_difference_over_the_same_seeds() -> None:
    varied = SHORT._replace(variation="adam-kept")
    better = rows([0.9], [0.8, 0.8])
    records = [record(0), record(1), record(2)]
    records += [record(0, arm=varied, rows=better), record(1, arm=varied)]
    lines = table(DIGITS, summary(*records)).splitlines()
    assert lines[-1] == (
        "| SI: Adam keeps its moments and its step count over a boundary | 1 | 2 | 2 | 2 | 77.50 | "
        "+2.50 ± 2.50 | 15.00 | here, reduced |"
    )
    assert len({line.count("|") for line in lines[-3:]}) == 1
    assert sum("adam" in line.lower() for line in lines) == 1


def test_a_detail_done_otherwise_has_no_difference_where_the_usual_was_not_run_with_its_seeds() -> (
    None
):
    varied = SHORT._replace(variation="adam-kept")
    tried = [held_back(one._replace(validation=True), 0.9, seed=1) for one in (SHORT, varied)]
    elsewhere = record(arm=varied._replace(strength=9.0))
    records = [record(0), record(0, arm=varied), record(1, arm=varied), elsewhere, *tried]
    found = [line for line in table(DIGITS, summary(*records)).splitlines() if "Adam" in line]
    cells = [[cell.strip() for cell in line.split("|")] for line in found]
    assert [(one[2], one[5], one[7], one[9]) for one in cells] == [
        ("1", "2", "–", "here, reduced"),
        ("9", "1", "–", "here, reduced"),
        ("1", "1", "+0.00", "here, reduced, on training samples held back"),
    ]


def test_importance_has_a_line_for_each_layer() -> None:
    lines = table(DIGITS, summary(record(importance=importance(-0.25)))).splitlines()
    assert lines[-2:] == [
        "| SI, c = 1, 2 epochs, 2 tasks | hidden-1 | 0.000 | 0.60 | 0.85 |",
        "| SI, c = 1, 2 epochs, 2 tasks | hidden-2 | −0.250 | 0.30 | 0.60 |",
    ]
    assert len({line.count("|") for line in lines[-4:]}) == 1


def test_all_rows_are_as_wide_as_their_head_and_all_that_is_published_is_there() -> None:
    for name, published in PUBLISHED.items():
        first, second = table(BENCHMARKS[name], {}).split("\n\n")
        assert len(first.splitlines()) == 2 + len(published)
        assert len(second.splitlines()) == 2 + sum(bool(one.parts) for one in published)
        for part in (first, second):
            assert len({line.count("|") for line in part.splitlines()}) == 1
