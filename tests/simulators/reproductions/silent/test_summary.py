from __future__ import annotations

import pytest

from simulators.reproductions.silent.summary import summarised
from simulators.reproductions.silent.table import table
from simulators.reproductions.silent.trial import AccuracyRecord
from tests.simulators.reproductions.silent.making import alarm, record, stretch


def test_it_adds_up_the_runs() -> None:
    perfect = {"a-1": AccuracyRecord(told=0.9, silent=0.9), "a-2": AccuracyRecord(told=1, silent=1)}
    missed = record(1, alarms=[alarm(300, 400), alarm(500, 600, "weak-evidence")], accuracy=perfect)
    found = summarised("a title", [record(), missed])
    expected = {
        "title": "a title",
        "seeds": 2,
        "samples": 4000,
        "boundaries": 2,
        "recall": 0.5,
        "false_alarms": 1,
        "false_alarms_per_million_samples": 250.0,
        "delay_median_samples": 40,
        "delay_max_samples": 40,
        "cut_error_median_samples": 3,
        "cut_error_max_samples": 3,
        "accuracy_silent": 0.92,
        "accuracy_told": 0.95,
        "accuracy_difference": -0.03,
        "accuracy_difference_standard_error": 0.03,
        "detector": "adwin on errors and inputs",
        "alarms": {"taken": 2, "weak-evidence": 1},
        "learned_again_samples": 1000,
        "old_task_accuracy_silent": 0.85,
        "old_task_accuracy_told": 0.9,
    }
    assert found == expected


def test_where_nothing_changes_there_is_no_recall_and_no_delay() -> None:
    still = record(
        true_boundaries=[],
        alarms=[],
        stretches=[stretch("a-1", 0, 2000, "task-1")],
        accuracy={"a-1": AccuracyRecord(told=0.9, silent=0.9)},
    )
    found = summarised("still", [still])
    assert (
        found["recall"] is found["delay_median_samples"] is found["cut_error_max_samples"] is None
    )
    assert found["accuracy_difference_standard_error"] is None
    assert "| – | 0 | – | – |" in table({"still": found})


@pytest.mark.parametrize(
    ("silent_tasks", "matched", "new_opened"),
    [
        (["task-1", "task-2", "task-1", "task-3", "task-2"], 2, 3),
        (["task-1", "task-2", "task-3", "task-4", "task-5"], 0, 3),
        (["task-1", "task-2", "task-2", "task-2", "task-2"], 1, 2),
        (["task-1", "task-2", "task-3", "task-4", "task-2"], 1, 3),
    ],
)
def test_a_task_that_comes_again_is_matched_if_its_own_is_reopened(
    silent_tasks: list[str], matched: int, new_opened: int
) -> None:
    stretches = [
        stretch(true, 400 * n, 400 * (n + 1), silent)
        for n, (true, silent) in enumerate(zip("ABACB", silent_tasks, strict=True))
    ]
    found = summarised("again", [record(stretches=stretches)])
    assert (found["returned"], found["returned_matched"]) == (2, matched)
    assert (found["new"], found["new_opened"]) == (3, new_opened)
    assert found["matched"] == matched / 2


def test_a_drift_that_is_noticed_when_it_is_over_counts_as_late() -> None:
    runs = [record(drift_samples=41), record(1, drift_samples=40)]
    assert summarised("drift", runs)["found_within_drift"] == 1


def test_without_the_rewind_it_tells_what_the_rewind_would_have_given() -> None:
    run = record(accuracy_with_rewind={"a-1": 0.9, "a-2": 1.0})
    assert summarised("ablation", [run])["accuracy_with_rewind"] == 0.95


def test_what_a_sample_late_makes_stands_beside_the_difference() -> None:
    runs = [
        record(seed, accuracy_told_late={"a-1": late, "a-2": 1.0})
        for seed, late in enumerate((0.88, 0.84))
    ]
    found = summarised("late", runs)
    assert found["accuracy_told_late_difference"] == -0.02
    assert found["accuracy_told_late_difference_standard_error"] == pytest.approx(0.01)
    assert "accuracy_told_late_difference" not in summarised("", [record()])


def test_the_table_has_a_line_for_each_scenario() -> None:
    lines = table({"one": summarised("", [record(), record(1)])}).splitlines()
    assert lines[2:] == [
        "| `one` | 2 | 4,000 | 2 of 2 | 0 | 40, 40 | 3, 3 | 95.00 | 89.00 | −6.00 ± 0.00 |"
    ]
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
