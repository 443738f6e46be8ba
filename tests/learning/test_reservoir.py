"""The reservoir: an even draw, bounded, and the same wherever it goes on from its state."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from si_stream.learning.options import ModelOptions
from si_stream.learning.reservoir import Reservoir


def reservoir(size: int, seed: int = 0) -> Reservoir:
    model = ModelOptions(input_shape=(1,), dtype="float32", seed=seed)
    return Reservoir(size, model, torch.device("cpu"))


def shown(one: Reservoir, count: int, batch: int = 7, first: int = 0) -> list[int]:
    """What it holds once it has seen the numbers from ``first`` on, in batches."""
    numbers = torch.arange(first, first + count).unsqueeze(1).float()
    for inputs in torch.split(numbers, batch):
        one.see(inputs)
    return [int(number) for number in one.held]


def test_a_task_of_no_more_samples_than_it_holds_is_held_whole_and_in_order() -> None:
    assert shown(reservoir(10), 9) == list(range(9))
    assert shown(reservoir(10), 10) == list(range(10))


def test_every_sample_is_held_with_the_same_probability() -> None:
    size, count, draws = 10, 50, 3000
    held: Counter[int] = Counter()
    for seed in range(draws):
        numbers = shown(reservoir(size, seed), count)
        assert len(set(numbers)) == size
        held.update(numbers)
    expected = draws * size / count
    deviation = (expected * (1 - size / count)) ** 0.5
    assert max(abs(held[number] - expected) for number in range(count)) < 4 * deviation


def test_it_draws_the_same_for_the_same_seed_and_otherwise_for_another_or_another_task() -> None:
    one, other = reservoir(5), reservoir(5)
    first = shown(one, 50)
    assert shown(other, 50) == first
    assert shown(reservoir(5, seed=1), 50) != first
    one.clear()
    assert shown(one, 50) != first


@pytest.mark.parametrize("steps", range(8))
def test_it_goes_on_from_its_state_as_if_it_had_not_stopped(steps: int) -> None:
    whole, one, other = reservoir(5), reservoir(5), reservoir(5, seed=0)
    expected = shown(whole, 56)
    shown(one, 7 * steps)
    shown(other, 20)
    for name, tensor in other.state().items():
        tensor.copy_(one.state()[name])
    assert shown(other, 56 - 7 * steps, first=7 * steps) == expected


def test_what_is_cleared_leaves_nothing() -> None:
    one = reservoir(5)
    shown(one, 20)
    one.clear()
    assert len(one.held) == 0
    assert not one.inputs.any()
