"""What is kept of a track's holdouts: each task's best answers, and what came of them since."""

from __future__ import annotations

import numpy as np
import pytest

from si_stream.evaluation.answers import Answers
from si_stream.evaluation.measures import Measures


def right(*samples: int, of: int = 10) -> Answers:
    return Answers(np.isin(np.arange(of), samples))


def measures(*rows: list[Answers | None]) -> Measures:
    measured = Measures(consolidator="none")
    for number, row in enumerate(rows):
        measured.add_row(row, min(number, len(row) - 1))
    return measured


def kept(measured: Measures, task: int = 0) -> list[int]:
    return np.flatnonzero(measured.best[task].unpacked().right).tolist()


def test_before_the_first_boundary_nothing_is_forgotten() -> None:
    live = measures().live_of(0, right(1, 2), step=3)
    assert (live.accuracy, live.samples, live.step) == (0.2, 10, 3)
    assert (live.forgetting, live.forgetting_standard_error) == (None, None)


def test_what_was_right_at_the_best_boundary_is_compared_with_what_is_right_now() -> None:
    best, now = right(0, 1, 2, 3, 4), right(4, 5)
    measured = measures([right(0)], [best, right(1)], [right(7, 8), right(1)])
    assert kept(measured) == [0, 1, 2, 3, 4]
    live = measured.live_of(0, now, step=9)
    assert live.forgetting == measured.accuracy.forgetting(0, now=0.2) == pytest.approx(0.3)
    assert live.forgetting_standard_error == now.paired_error(best) > 0


def test_of_two_boundaries_that_are_equally_good_the_later_is_kept() -> None:
    assert kept(measures([right(0, 1)], [right(2, 3), None])) == [2, 3]


def test_a_set_that_has_grown_is_compared_whole_with_what_it_was() -> None:
    measured = measures([right(0, 1, 2, of=4)])
    now = right(0, *range(4, 10))
    live = measured.live_of(0, now, step=1)
    assert live.forgetting == pytest.approx(0.75 - 0.7)
    assert live.forgetting_standard_error == now.paired_error(right(0, 1, 2, of=4))
    measured.add_row([right(*range(9))], 0)
    assert measured.best[0].samples == 10


def test_a_task_without_a_holdout_has_no_answers() -> None:
    measured = measures([None], [None, right(3)])
    assert [*measured.best] == [1]


def test_of_a_model_whose_best_answers_were_not_kept_the_error_is_the_unpaired_one() -> None:
    """So is a checkpoint from before they were, until a task does better than that."""
    former = measures([right(0, 1, 2, 3, 4)])
    text = former.model_dump_json(exclude={"best"})
    measured = Measures.model_validate_json(text)
    now = right(0, 1)
    live = measured.live_of(0, now, step=1)
    assert live.forgetting_standard_error == now.unpaired_error(0.5)
    measured.add_row([right(0, 1, 2, 3)], 0)
    assert measured.best == {}
    measured.add_row([right(0, 1, 2, 3, 4, 5)], 0)
    assert kept(measured) == [0, 1, 2, 3, 4, 5]


def test_they_outlive_a_checkpoint() -> None:
    measured = measures([right(0, 1)], [right(1), right(2, 3)])
    measured.live["a"] = measured.live_of(0, right(5), step=4)
    assert Measures.model_validate_json(measured.model_dump_json()) == measured


def test_a_copy_does_not_change_with_them() -> None:
    measured = measures([right(0)])
    copy, before = measured.copied(), measured.model_dump_json()
    measured.add_row([right(0, 1)], 0)
    assert copy.model_dump_json() == before
    assert kept(copy) == [0]


def test_those_who_only_look_get_them_without_the_answers() -> None:
    measured = measures([right(0)])
    assert measured.without_answers().best == {}
    assert measured.without_answers().accuracy == measured.accuracy
    assert kept(measured) == [0]
