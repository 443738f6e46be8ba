"""Plasticity: ratios by hand, and that they tell a stiff network from one that is not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from si_stream import events
from si_stream.brokers.interface import Envelope
from si_stream.evaluation import prequential
from si_stream.evaluation.plasticity import Plasticity
from simulators.options import ReplayOptions
from simulators.replay import envelopes
from simulators.scenarios import load_scenario
from tests.streams import learn, memory_broker, settings

FIRST = 100


def after(tasks: Sequence[tuple[int, int, float | None]]) -> Plasticity:
    """Tasks of so many samples, so many wrong among the first ones, and an accuracy at the end."""
    plasticity = Plasticity()
    for number, (samples, wrong, learned) in enumerate(tasks):
        early = min(samples, FIRST)
        tested = prequential.Tested(samples=samples, early_samples=early, early_wrong=wrong)
        plasticity.end(f"task-{number}", tested, learned, FIRST)
    return plasticity


def test_before_a_task_has_ended_there_is_nothing_to_say() -> None:
    plasticity = Plasticity()
    assert (plasticity.speed(), plasticity.level(), plasticity.speed("a")) == (None, None, None)


def test_the_first_task_is_as_the_first() -> None:
    plasticity = after([(500, 30, 0.9)])
    assert (plasticity.speed(), plasticity.level()) == (1.0, 1.0)


def test_while_there_are_fewer_than_three_the_first_are_those_there_are() -> None:
    plasticity = after([(500, 20, 0.9), (500, 40, 0.7)])
    assert plasticity.speed() == pytest.approx(0.6 / 0.7)
    assert plasticity.level() == pytest.approx(0.7 / 0.8)


def test_later_tasks_are_compared_with_the_first_three() -> None:
    plasticity = after([(500, 10, 0.9), (500, 20, 1.0), (500, 30, 0.8), (500, 0, 0.1), (9, 0, 1)])
    assert plasticity.speed("task-3") == plasticity.speed() == pytest.approx(1.0 / 0.8)
    assert plasticity.level("task-3") == plasticity.level() == pytest.approx(0.1 / 0.9)
    assert plasticity.speed("task-0") == pytest.approx(0.9 / 0.8)


@pytest.mark.parametrize(("samples", "counts"), [(49, False), (50, True), (99, True), (100, True)])
def test_a_short_task_counts_with_what_it_has_from_half_of_the_first_samples_on(
    samples: int, counts: bool
) -> None:
    plasticity = after([(500, 50, 0.5), (samples, samples // 5, 0.5)])
    assert (plasticity.speed("task-1") is not None) == counts
    assert (plasticity.level("task-1") is not None) == counts
    early = plasticity.tasks["task-1"].early
    assert early == (pytest.approx(1 - samples // 5 / samples) if counts else None)


def test_a_task_without_a_holdout_has_a_speed_and_no_level() -> None:
    plasticity = after([(500, 50, None), (500, 75, 0.5)])
    assert plasticity.speed("task-0") == pytest.approx(0.5 / 0.375)
    assert plasticity.level("task-0") is None
    assert plasticity.level("task-1") == 1.0


def test_where_the_first_tasks_were_not_learned_at_all_no_ratio_is_made() -> None:
    assert after([(500, 100, 0.0)]).speed() is None
    assert after([(500, 100, 0.0)]).level() is None


def test_it_outlives_a_checkpoint_in_its_order() -> None:
    plasticity = after([(500, 10, 0.9), (9, 2, 0.3), (500, 20, None)])
    again = Plasticity.model_validate_json(plasticity.model_dump_json())
    assert again == plasticity
    assert [*again.tasks] == [*plasticity.tasks]


@cache
def permuted_digits() -> list[Envelope]:
    """Eight tasks of 1,437 digits, the pixels of each in an order of its own."""
    return list(envelopes(load_scenario("permuted-digits", task_count=8), ReplayOptions()))


def of_strength(strength: float) -> Any:
    return settings(
        model={
            "input_shape": (8, 8),
            "outputs": 10,
            "heads": "shared",
            "batch_size": 16,
            "network": {"hidden": (64, 64)},
        },
        consolidator={"strength": strength, "damping": 0.1},
        learner={"shadow": "none"},
        plasticity={"first_samples": 500},
    )


def newest(strength: float) -> list[tuple[float, float]]:
    """Speed and level of the task that ended last, of the learner and of its shadow."""
    _, heard = learn(memory_broker(permuted_digits()), of_strength(strength))
    last = heard.heard(events.Consolidated)[-2:]
    return [(event.plasticity_speed, event.plasticity_level) for event in last]


def test_a_network_that_has_grown_stiff_learns_the_newest_task_worse_than_its_shadow() -> None:
    (speed, level), (shadow_speed, shadow_level) = newest(strength=100.0)
    assert 0 < speed < 0.5 * shadow_speed
    assert 0 < level < 0.3 * shadow_level


def test_a_network_that_is_not_stiff_learns_the_newest_task_as_its_shadow_and_the_first() -> None:
    usual, shadow = newest(strength=0.1)
    assert usual == pytest.approx(shadow, abs=0.05)
    assert usual == pytest.approx((1, 1), abs=0.15)
