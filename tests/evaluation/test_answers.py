"""Answers of two moments, against numpy and against chance itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from si_stream.evaluation.answers import Answers, KeptAnswers, standard_error

Bits = npt.NDArray[np.bool_]

rows = st.lists(st.booleans(), min_size=1, max_size=40)


def answers(row: Any) -> Answers:
    return Answers(np.array(row, np.bool_))


def reference(then: Bits, now: Bits) -> float:
    """The standard error of a mean of differences, one for each sample, by the textbook; where the
    set has grown, of two independent means."""
    m, n = len(then), len(now)
    common = then.astype(float) - m / n * now[:m]
    later = (n - m) / n * now[m:].astype(float)
    return float(np.sqrt(common.var() / m + (later.var() / (n - m) if n > m else 0.0)))


def test_accuracy_is_the_share_of_right_answers_and_has_the_error_of_a_proportion() -> None:
    assert answers([1, 1, 0, 1]).accuracy == 0.75
    assert standard_error(0.95, 2500) == pytest.approx(0.00436, abs=1e-5)
    assert standard_error(1.0, 10) == 0


def test_the_paired_error_is_mcnemars() -> None:
    then, now = answers([1] * 90 + [0] * 10), answers([0] * 15 + [1] * 78 + [0] * 7)
    b, c, n = 15, 3, 100
    assert then.accuracy - now.accuracy == pytest.approx((b - c) / n)
    expected = math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert now.paired_error(then) == pytest.approx(expected, rel=1e-12)


@given(rows, rows)
def test_the_paired_error_is_numpys_also_where_the_set_has_grown(
    first: list[bool], second: list[bool]
) -> None:
    then, now = sorted((answers(first), answers(second)), key=lambda one: one.samples)
    expected = reference(then.right, now.right)
    assert now.paired_error(then) == pytest.approx(expected, abs=1e-7)


@given(rows)
def test_the_same_answers_differ_by_nothing_for_sure(row: list[bool]) -> None:
    assert answers(row).paired_error(answers(row)) == 0


@pytest.mark.parametrize("measured_on", [400, 200])
def test_the_error_is_how_far_chance_moves_the_difference(measured_on: int) -> None:
    """Drawn again and again: a sample known then is known now by 9 of 10, an unknown by 1 of 5."""
    generator = np.random.default_rng(0)
    differences, errors, unpaired = [], [], []
    for _ in range(2000):
        then = generator.random(400) < 0.8
        now = generator.random(400) < np.where(then, 0.9, 0.2)
        earlier, later = Answers(then[:measured_on]), Answers(now)
        differences.append(earlier.accuracy - later.accuracy)
        errors.append(later.paired_error(earlier))
        unpaired.append(later.unpaired_error(earlier.accuracy))
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.05)
    assert measured_on < 400 or np.mean(unpaired) > 1.3 * np.mean(errors)


def test_without_the_earlier_answers_the_two_accuracies_count_as_independent() -> None:
    now = answers([1] * 60 + [0] * 40)
    expected = math.sqrt(0.9 * 0.1 / 100 + 0.6 * 0.4 / 100)
    assert now.unpaired_error(0.9) == pytest.approx(expected)


@given(rows)
def test_kept_answers_are_the_same_after_a_checkpoint(row: list[bool]) -> None:
    kept = KeptAnswers.of(answers(row))
    again = KeptAnswers.model_validate_json(kept.model_dump_json()).unpacked()
    assert again.right.tolist() == row
    assert again.right.dtype == np.bool_


def test_kept_answers_take_a_bit_a_sample() -> None:
    kept = KeptAnswers.of(answers([1] * 2500))
    assert len(kept.model_dump_json()) < 2500 / 6 + 50
