"""Portraits: drawn of a task's first samples and drawn anew, and the same after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from si_stream.boundaries.portraits import (
    DRAWN_SAMPLES,
    LEAST_SAMPLES,
    Portrait,
    Portraits,
    Sums,
    in_window,
)

SHAPE = (6,)


def drawn(count: int, seed: int = 0, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two labels whose means differ by 3 in each element."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    inputs = random.normal(shift + 3.0 * labels[:, None], 1.0, (count, *SHAPE))
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels)


def seen(portraits: Portraits, count: int, batch: int = 64, task: int = 0, seed: int = 0) -> None:
    inputs, labels = drawn(count, seed)
    for x, y in zip(torch.split(inputs, batch), torch.split(labels, batch), strict=True):
        portraits.see(task, x, y)


def equal(one: Portrait | Sums, other: Portrait | Sums) -> bool:
    return all(torch.equal(getattr(one, n), getattr(other, n)) for n in one.__slots__)


def test_a_portrait_has_each_labels_mean_and_the_spread_about_it() -> None:
    sums = Sums.none(3, 6)
    inputs, labels = drawn(20_000)
    sums.add(inputs.double().numpy(), labels)
    portrait = Portrait.of(sums)
    assert portrait.counts.tolist() == [(labels == 0).sum(), (labels == 1).sum(), 0]
    expected = torch.stack([inputs[labels == label].double().mean(0) for label in (0, 1)])
    assert torch.allclose(portrait.means[:2], expected)
    centred = inputs.double() - expected[labels]
    covariance = centred.T @ centred / (20_000 - 2)
    assert torch.allclose(portrait.covariance, covariance, atol=2e-3)


def test_it_is_drawn_of_the_first_samples_and_anew_after_four_times_as_many() -> None:
    ends = [n for n in range(1, 20_000) if in_window(n - 1) and not in_window(n)]
    assert ends == [DRAWN_SAMPLES, 5 * DRAWN_SAMPLES, 17 * DRAWN_SAMPLES]
    portraits = Portraits(SHAPE, 2)
    seen(portraits, DRAWN_SAMPLES)
    assert not portraits.known
    seen(portraits, 1, seed=3)
    first = portraits.known[0]
    seen(portraits, 3 * DRAWN_SAMPLES - 1, seed=1)
    assert portraits.known[0] is first
    seen(portraits, DRAWN_SAMPLES, seed=2)
    assert portraits.known[0] is first
    seen(portraits, 1, seed=3)
    assert not equal(portraits.known[0], first)
    assert portraits.known[0].counts.sum() == DRAWN_SAMPLES


def test_a_portrait_that_was_drawn_to_its_end_is_there_when_the_task_ends() -> None:
    portraits = Portraits(SHAPE, 2)
    seen(portraits, DRAWN_SAMPLES)
    portraits.end(0)
    assert portraits.known[0].counts.sum() == DRAWN_SAMPLES
    before = portraits.known[0]
    seen(portraits, DRAWN_SAMPLES, seed=1)
    portraits.end(0)
    assert portraits.known[0] is not before


def test_numbers_far_from_0_leave_a_spread_that_can_be_compared_with() -> None:
    """A column of seconds since 1970, say, beside others about 0."""
    inputs, labels = drawn(DRAWN_SAMPLES)
    inputs[:, 2] = 1.7e9 + 1000 * inputs[:, 2]
    sums = Sums.none(2, 6)
    sums.add(inputs.double().numpy(), labels)
    assert torch.linalg.cholesky_ex(Portrait.of(sums).covariance).info == 0


@pytest.mark.parametrize(("count", "known"), [(LEAST_SAMPLES - 1, []), (LEAST_SAMPLES, [0])])
def test_a_task_that_ends_early_has_a_portrait_of_what_there_was(
    count: int, known: list[int]
) -> None:
    portraits = Portraits(SHAPE, 2)
    seen(portraits, count, batch=1)
    portraits.end(0)
    assert list(portraits.known) == known


def test_a_short_visit_leaves_the_portrait_as_it_was() -> None:
    portraits = Portraits(SHAPE, 2)
    seen(portraits, 2000)
    portraits.end(0)
    before = portraits.known[0]
    seen(portraits, 600, seed=1)
    portraits.end(0)
    assert portraits.known[0] is before
    seen(portraits, 1200, seed=2)
    portraits.end(0)
    assert portraits.known[0] is not before


@pytest.mark.parametrize("at", [0, 64, 960, 1024, 3008, 4160])
def test_saved_and_loaded_anywhere_it_goes_on_to_the_bit(at: int) -> None:
    inputs, labels = drawn(6016)
    batches = list(zip(torch.split(inputs, 64), torch.split(labels, 64), strict=True))
    whole, parted = Portraits(SHAPE, 2), Portraits(SHAPE, 2)
    for x, y in batches:
        whole.see(3, x, y)
    for x, y in batches[: at // 64]:
        parted.see(3, x, y)
    resumed = Portraits(SHAPE, 2)
    saved = parted.state()
    resumed.load(saved)
    for x, y in batches[at // 64 :]:
        resumed.see(3, x, y)
    assert resumed.state().keys() == whole.state().keys()
    for name, tensor in whole.state().items():
        assert torch.equal(resumed.state()[name], tensor), name


def test_a_state_of_before_there_were_portraits_is_one_without_any() -> None:
    portraits = Portraits(SHAPE, 2)
    seen(portraits, 2000)
    portraits.load({})
    assert (portraits.known, portraits.seen, portraits.drawn.samples) == ({}, 0, 0)
