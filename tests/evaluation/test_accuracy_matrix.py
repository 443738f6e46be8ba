"""The accuracy matrix and what is read off it, against tables made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from si_stream.evaluation import accuracy_matrix
from si_stream.evaluation.accuracy_matrix import AccuracyMatrix

Table = list[list[float | None]]

#                 on task 0, 1, 2
THREE_TASKS: Table = [
    [0.90],
    [0.80, 0.95],
    [0.60, 0.97, 0.99],
]


def matrix_of(table: Table, trained: list[int] | None = None) -> AccuracyMatrix:
    matrix = AccuracyMatrix()
    for number, row in enumerate(table):
        matrix.append(row, trained[number] if trained else number)
    return matrix


def test_three_tasks() -> None:
    matrix = matrix_of(THREE_TASKS)
    assert matrix.average_accuracy() == pytest.approx((0.60 + 0.97 + 0.99) / 3)
    assert matrix.forgetting(0) == pytest.approx(0.90 - 0.60)
    assert matrix.forgetting(1) == pytest.approx(0.95 - 0.97)
    assert matrix.forgetting(2) is None
    assert matrix.mean_forgetting() == pytest.approx((0.30 - 0.02) / 2)
    assert matrix.backward_transfer() == pytest.approx((-0.30 + 0.02) / 2)


def test_forgetting_is_from_the_best_before_and_transfer_from_when_it_was_learned() -> None:
    matrix = matrix_of([[0.5], [0.9, 0.7], [0.6, 0.7, 0.8]])
    assert matrix.forgetting(0) == pytest.approx(0.9 - 0.6)
    assert matrix.mean_forgetting() == pytest.approx((0.3 + 0.0) / 2)
    assert matrix.backward_transfer() == pytest.approx((0.6 - 0.5 + 0.0) / 2)


def test_before_the_first_boundary_there_is_nothing_to_say() -> None:
    matrix = AccuracyMatrix()
    assert matrix.average_accuracy() is None
    assert matrix.mean_forgetting() is None
    assert matrix.backward_transfer() is None
    assert matrix.forgetting(0) is None
    assert matrix.forgetting(0, now=0.5) is None


def test_a_single_task_has_an_average_but_forgets_nothing() -> None:
    matrix = matrix_of([[0.9]])
    assert matrix.average_accuracy() == 0.9
    assert matrix.mean_forgetting() is None
    assert matrix.backward_transfer() is None


def test_live_forgetting_counts_the_last_boundary_too() -> None:
    matrix = matrix_of(THREE_TASKS)
    assert matrix.forgetting(0, now=0.55) == pytest.approx(0.90 - 0.55)
    assert matrix.forgetting(2, now=0.89) == pytest.approx(0.99 - 0.89)
    assert matrix.forgetting(2, now=1.00) == pytest.approx(0.99 - 1.00)
    assert matrix.forgetting(3, now=0.5) is None


def test_a_task_without_a_holdout_is_left_out() -> None:
    matrix = matrix_of([[0.9], [0.7, None], [0.6, None, 0.8]])
    assert matrix.average_accuracy() == pytest.approx(0.7)
    assert matrix.forgetting(1) is None
    assert matrix.mean_forgetting() == pytest.approx(0.9 - 0.6)
    assert matrix.backward_transfer() == pytest.approx(0.6 - 0.9)


def test_a_holdout_that_came_late_is_measured_from_then_on() -> None:
    matrix = matrix_of([[None], [0.8, 0.9], [0.5, 0.9, 0.9]])
    assert matrix.forgetting(0) == pytest.approx(0.3)
    assert matrix.backward_transfer() == pytest.approx(0.0)


def test_when_an_old_task_comes_again_the_other_is_the_one_that_may_be_forgotten() -> None:
    matrix = matrix_of([[0.9], [0.5, 0.8], [0.95, 0.6]], trained=[0, 1, 0])
    assert matrix.mean_forgetting() == pytest.approx(0.8 - 0.6)
    assert matrix.backward_transfer() == pytest.approx(0.6 - 0.8)
    again = matrix_of([[0.9], [0.8]], trained=[0, 0])
    assert again.mean_forgetting() is None


def test_a_matrix_outlives_a_checkpoint() -> None:
    matrix = matrix_of([[None], [0.8, 0.1 + 0.2]])
    assert AccuracyMatrix.model_validate_json(matrix.model_dump_json()) == matrix


def test_rows_are_kept_up_to_a_limit_and_the_figures_count_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    trained = [0, 1, 2, *generator.integers(0, 3, 40).tolist()]
    table: Table = [generator.random(min(n + 1, 3)).tolist() for n in range(len(trained))]
    table[1][0] = None
    whole, short = AccuracyMatrix(), AccuracyMatrix()
    for row, task in zip(table, trained, strict=True):
        whole.append(row, task)
        with monkeypatch.context() as patch:
            patch.setattr(accuracy_matrix, "KEPT_ROWS", 4)
            short.append(row, task)
        assert short.rows == whole.rows[-4:]
        assert short.dropped_rows + len(short.rows) == len(whole.rows)
        assert short.average_accuracy() == whole.average_accuracy()
        assert short.mean_forgetting() == whole.mean_forgetting()
        assert short.backward_transfer() == whole.backward_transfer()
        for one in range(3):
            assert short.forgetting(one) == whole.forgetting(one)
            assert short.forgetting(one, now=0.5) == whole.forgetting(one, now=0.5)
    assert AccuracyMatrix.model_validate_json(short.model_dump_json()) == short
