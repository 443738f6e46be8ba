from __future__ import annotations

import numpy as np
import pytest

from si_stream.errors import SettingsError
from simulators.datasets import Dataset
from simulators.scenarios import Scenario, permuted, split
from simulators.sequences import sequenced


@pytest.fixture
def scenario(tiny_dataset: Dataset) -> Scenario:
    return split("tiny", tiny_dataset, [("a", "b"), ("c", "d"), ("f", "e")], "letters")


def names(scenario: Scenario) -> list[str]:
    return [task.name for task in scenario.tasks]


def rows(scenario: Scenario) -> list[set[int]]:
    return [set(task.train.rows.tolist()) for task in scenario.tasks]


def test_letters_say_which_task_comes_when(scenario: Scenario) -> None:
    ab, cd, fe = "letters-a-b", "letters-c-d", "letters-f-e"
    assert names(sequenced(scenario, "ABACB")) == [ab, cd, ab, fe, cd]
    assert names(sequenced(scenario, "CA")) == [fe, ab]
    assert names(sequenced(scenario)) == [ab, cd, fe]


def test_nothing_chosen_changes_nothing(scenario: Scenario) -> None:
    for task, before in zip(sequenced(scenario).tasks, scenario.tasks, strict=True):
        assert np.array_equal(task.train.rows, before.train.rows)
        assert np.array_equal(task.train.labels, before.train.labels)


def test_a_task_comes_again_with_the_same_samples(scenario: Scenario) -> None:
    own = rows(scenario)
    assert rows(sequenced(scenario, "ABAC")) == [own[0], own[1], own[0], own[2]]


def test_a_task_comes_again_with_other_samples(scenario: Scenario) -> None:
    own = rows(scenario)
    first, second, third, _, fifth = visits = rows(sequenced(scenario, "ABABA", again="other"))
    assert [len(visit) for visit in visits] == [34, 50, 33, 50, 33]
    assert first | third | fifth == own[0]
    assert second | visits[3] == own[1]
    assert not first & third | third & fifth | first & fifth | second & visits[3]


def test_what_is_tested_on_stays_the_same(scenario: Scenario) -> None:
    visited = sequenced(scenario, "ABA", again="other", samples_per_task=5)
    assert visited.tasks[0].test is visited.tasks[2].test is scenario.tasks[0].test


@pytest.mark.parametrize("again", ["same", "other"])
def test_samples_can_be_fewer_a_visit(scenario: Scenario, again: str) -> None:
    order = "ABA"
    whole, few = (
        sequenced(scenario, order, again="same" if again == "same" else "other", **kind)
        for kind in ({}, {"samples_per_task": 20})
    )
    assert [len(visit) for visit in rows(few)] == [20, 20, 20]
    for part, visit in zip(rows(few), rows(whole), strict=True):
        assert part < visit
    for task in few.tasks:
        letters = np.array(list("abcdef"))[task.train.rows % 6]
        assert [task.classes[label] for label in task.train.labels] == letters.tolist()
    assert [len(visit) for visit in rows(sequenced(scenario, samples_per_task=1000))] == [100] * 3


def test_the_seed_draws_the_samples(scenario: Scenario) -> None:
    first, again, other = (
        rows(sequenced(scenario, "ABA", again="other", samples_per_task=20, seed=seed))
        for seed in (0, 0, 1)
    )
    assert first == again
    assert all(one != another for one, another in zip(first, other, strict=True))


def test_tasks_of_the_same_images_are_drawn_apart_from_each_other(tiny_dataset: Dataset) -> None:
    first, second = rows(sequenced(permuted("tiny", tiny_dataset, 2, 0), samples_per_task=50))
    assert first != second


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ("ABX", "letters from A to C, one for each of the tasks of tiny"),
        ("aba", "letters from A to C"),
        ("", "letters from A to C"),
        ("ABBA", "has B twice in a row"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    scenario: Scenario, order: str, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        sequenced(scenario, order)


def test_more_visits_than_samples_are_refused(scenario: Scenario) -> None:
    with pytest.raises(SettingsError, match="100 training samples for 101 visits"):
        sequenced(scenario, "AB" * 101, again="other")
