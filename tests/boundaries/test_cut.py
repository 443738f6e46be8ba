"""The cut: where errors most likely became more frequent, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from si_stream.boundaries.cut import Cut, find_cut

Errors = npt.NDArray[np.bool_]


def errors(*bits: int) -> Errors:
    return np.array(bits, dtype=bool)


def log_likelihood(wrong: Errors) -> float:
    """Of a coin that comes up wrong as often as these did, written out."""
    rate = wrong.mean()
    return sum(math.log(rate if error else 1 - rate) for error in wrong)


def by_definition(wrong: Errors) -> Cut:
    best = Cut(len(wrong), 0.0)
    for index in range(1, len(wrong)):
        before, behind = wrong[:index], wrong[index:]
        if behind.mean() > before.mean():
            evidence = log_likelihood(before) + log_likelihood(behind) - log_likelihood(wrong)
            if evidence > best.evidence + 1e-9:
                best = Cut(index, evidence)
    return best


def test_it_is_the_place_of_greatest_likelihood_by_definition() -> None:
    generator = np.random.default_rng(0)
    for _ in range(100):
        wrong = generator.random(generator.integers(1, 40)) < generator.random()
        found, expected = find_cut(wrong), by_definition(wrong)
        assert found.index == expected.index
        assert found.evidence == pytest.approx(expected.evidence)


def test_a_clean_change_is_cut_at_its_first_error() -> None:
    cut = find_cut(errors(*[0] * 90, *[1] * 10))
    assert cut.index == 90
    assert cut.evidence == pytest.approx(-log_likelihood(errors(*[0] * 90, *[1] * 10)))


def test_a_noisy_change_is_placed_within_a_few_samples() -> None:
    generator = np.random.default_rng(0)
    misses = []
    for _ in range(50):
        wrong = generator.random(2048) < np.where(np.arange(2048) < 1998, 0.02, 0.6)
        misses.append(abs(find_cut(wrong).index - 1998))
    assert np.median(misses) <= 1
    assert max(misses) <= 16


def test_the_errors_of_learning_before_it_do_not_draw_the_cut() -> None:
    generator = np.random.default_rng(0)
    falling = 0.5 * np.exp(-np.arange(600) / 100)
    rates = np.concatenate([falling, np.full(60, 0.6)])
    misses = [abs(find_cut(generator.random(660) < rates).index - 600) for _ in range(50)]
    assert np.median(misses) <= 1
    assert max(misses) <= 16


def test_errors_that_become_rarer_have_no_cut() -> None:
    assert find_cut(errors(1, 1, 1, 0, 0, 0)) == Cut(6, 0.0)


@pytest.mark.parametrize("wrong", [errors(), errors(1), errors(0, 0, 0), errors(1, 1, 1)])
def test_where_nothing_differs_there_is_no_cut(wrong: Errors) -> None:
    assert find_cut(wrong) == Cut(len(wrong), 0.0)


def test_of_two_equally_likely_cuts_the_earlier_is_taken() -> None:
    for length in range(1, 60):
        # As likely before the first error as behind the last right one, by symmetry.
        wrong = errors(*[0] * length, 1, 0, *[1] * length)
        assert find_cut(wrong).index == length
