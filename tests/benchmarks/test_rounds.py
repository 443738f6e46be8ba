"""Rounds: pairs side by side, in turn, and what is read off them."""

from __future__ import annotations

import pytest

from benchmarks.rounds import Effort, Pair, alternate, ratio


def rounds_of(effort: Effort) -> list[str]:
    order: list[str] = []

    def ours() -> float:
        order.append("ours")
        return float(len(order))

    def baseline() -> float:
        order.append("baseline")
        return float(len(order))

    pairs = alternate(effort, 2, ours, baseline)
    assert [pair.ours for pair in pairs] == [
        number for number, side in enumerate(order, 1) if side == "ours"
    ][-len(pairs) :]
    return order


def test_after_one_round_to_warm_up_the_one_that_begins_changes() -> None:
    assert rounds_of(Effort()) == ["ours", "baseline"] * 2 + ["baseline", "ours"]


def test_the_effort_may_ask_for_another_number_of_rounds() -> None:
    assert len(rounds_of(Effort(rounds=5))) == 2 + 2 * 5


def test_a_quick_run_does_not_warm_up() -> None:
    assert rounds_of(Effort(rounds=1, quick=True)) == ["ours", "baseline"]


def test_the_ratio_is_the_median_of_the_pairs_ratios() -> None:
    """So one slow stretch of the machine, which both sides of its pair feel, moves nothing."""
    found = ratio([Pair(1.1, 1.0), Pair(110.0, 100.0), Pair(9.0, 1.0), Pair(1.2, 1.0), Pair(1, 1)])
    assert found.value == pytest.approx(1.1)
    assert found.spread == pytest.approx(0.1)
    assert found.baseline == 1.0
