from __future__ import annotations

import pytest

from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import BENCHMARKS, JOINT, SCRATCH, SI
from simulators.reproductions.paper.record import Row
from simulators.reproductions.paper.summary import summarised
from tests.simulators.reproductions.paper.making import DIGITS, SHORT, importance, record, rows


def test_it_adds_up_the_runs() -> None:
    other = record(1, rows=rows([1.0], [1.0, 0.8]))
    found = summarised(DIGITS, SHORT, [record(), other])
    assert found == {
        "title": "SI, c = 1, 2 epochs, 2 tasks",
        "method": SI,
        "strength": 1.0,
        "variation": None,
        "seeds": 2,
        "epochs": 2,
        "tasks": 2,
        "samples_per_task": None,
        "reduced": True,
        "tested_on": "test",
        "average_accuracy": 0.825,
        "average_accuracy_sd": pytest.approx(0.10607),
        "average_accuracy_standard_error": 0.075,
        "average_accuracy_by_seed": {"0": 0.75, "1": 0.9},
        "average_accuracy_training": 0.835,
        "forgetting": 0.1,
        "backward_transfer": -0.1,
        "accuracy": {"a": 0.85, "b": 0.8},
        "accuracy_sd": {"a": pytest.approx(0.21213), "b": 0.0},
        "accuracy_training": {"a": 0.86, "b": 0.81},
        "average_accuracy_after_each_task": [0.95, 0.825],
        "importance": None,
    }


def test_importance_is_its_mean_over_pairs_of_tasks_and_seeds() -> None:
    runs = [record(importance=importance(0.25)), record(1, importance=importance(0.75))]
    assert summarised(DIGITS, SHORT, runs)["importance"] == {
        "hidden-1": {"between_tasks": 0, "with_fisher": 0.6, "with_fisher_ranks": 0.85},
        "hidden-2": {"between_tasks": 0.5, "with_fisher": 0.3, "with_fisher_ranks": 0.6},
    }


@pytest.mark.parametrize(
    ("epochs", "tasks", "seeds", "reduced"),
    [(10, 5, 3, False), (9, 5, 3, True), (10, 4, 3, True), (10, 5, 2, True), (11, 5, 4, False)],
)
def test_it_is_reduced_with_fewer_epochs_or_tasks_or_seeds_than_the_authors(
    epochs: int, tasks: int, seeds: int, *, reduced: bool
) -> None:
    arm = Arm(SI, 1.0, epochs, tasks)
    found = summarised(DIGITS, arm, [record(seed, arm) for seed in range(seeds)])
    assert found["reduced"] is reduced


def test_where_nothing_follows_nothing_is_forgotten() -> None:
    joint = record(
        arm=Arm(JOINT, None, 2, 2),
        rows=[Row(after="b", test={"a": 0.9, "b": 0.8}, train={"a": 1.0, "b": 1.0})],
    )
    scratch = record(
        arm=Arm(SCRATCH, None, 2, 2),
        rows=[
            Row(after="a", test={"a": 0.9}, train={"a": 1.0}),
            Row(after="b", test={"b": 0.8}, train={"b": 1.0}),
        ],
    )
    for one in (joint, scratch):
        found = summarised(DIGITS, Arm(one.method, None, 2, 2), [one])
        assert found["average_accuracy"] == 0.85
        assert found["forgetting"] is found["backward_transfer"] is None
        assert found["average_accuracy_after_each_task"] == []
    alone = record(arm=Arm(SI, 1.0, 2, 1), tasks=["a"], rows=rows([0.9]))
    assert summarised(BENCHMARKS["split-mnist"], Arm(SI, 1.0, 2, 1), [alone])["forgetting"] is None
