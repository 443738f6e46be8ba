"""Worlds that come back: known among others, and new ones not taken for any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from si_stream.boundaries.portraits import DRAWN_SAMPLES, Portrait, Sums
from si_stream.boundaries.returning import COMPARED_SAMPLES, NO_FIT, fit, known_world
from si_stream.boundaries.sketch import Sketch
from simulators.options import ScenarioName
from simulators.scenarios import Task, load_scenario

NAMES: list[ScenarioName] = ["split-mnist", "rotated-mnist", "split-cifar", "contrast-cifar10"]
TRIALS = 10


def summed(
    task: Task, count: int, random: np.random.Generator, *, labels: int, turned: bool = False
) -> Sums:
    inputs, own = task.train.take(random.choice(len(task.train), count, replace=False))
    sketch = Sketch(inputs.shape[1:])
    sums = Sums.none(labels, sketch.size)
    given = len(task.classes) - 1 - own if turned else own
    sums.add(sketch.of(inputs), torch.from_numpy(given))
    return sums


@pytest.fixture(params=NAMES)
def worlds(request: pytest.FixtureRequest) -> tuple[Task, ...]:
    root = "mnist_root" if request.param.endswith("mnist") else "cifar_root"
    directory: Path = request.getfixturevalue(root)
    return load_scenario(request.param, directory=directory).tasks[:5]


def test_a_known_world_is_told_from_all_others(worlds: tuple[Task, ...]) -> None:
    random = np.random.default_rng(0)
    count = max(len(task.classes) for task in worlds)
    portraits = {
        number: Portrait.of(summed(task, DRAWN_SAMPLES, random, labels=count))
        for number, task in enumerate(worlds)
    }
    for number, task in list(enumerate(worlds)) * TRIALS:
        sums = summed(task, COMPARED_SAMPLES, random, labels=count)
        assert known_world(sums, portraits)[0] == number
        others = {other: one for other, one in portraits.items() if other != number}
        assert known_world(sums, others)[0] is None


def test_a_portrait_that_saw_each_label_once_has_no_spread_and_fits_nothing() -> None:
    sums = Sums.none(300, 4)
    sums.add(np.random.default_rng(0).normal(size=(300, 4)), torch.arange(300))
    assert fit(sums, Portrait.of(sums)) == NO_FIT


def test_the_same_images_under_other_labels_are_another_world() -> None:
    random = np.random.default_rng(0)
    task = load_scenario("split-digits").tasks[1]
    portrait = Portrait.of(summed(task, 280, random, labels=2))
    assert fit(summed(task, 200, random, labels=2), portrait).distance < 1.5
    assert fit(summed(task, 200, random, labels=2, turned=True), portrait).distance > 10


def test_labels_that_a_portrait_has_not_seen_do_not_fit_it() -> None:
    random = np.random.default_rng(0)
    task = load_scenario("split-digits").tasks[0]
    portrait = Portrait.of(summed(task, 280, random, labels=3))
    sums = summed(task, 200, random, labels=3)
    sums.counts, sums.sums = sums.counts.roll(1), sums.sums.roll(1, 0)
    assert fit(sums, portrait) == NO_FIT


def test_distance_and_spread_are_1_on_average_where_the_world_is_the_same() -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(20):
        portrait, sums = Sums.none(1, 16), Sums.none(1, 16)
        portrait.add(random.normal(size=(400, 16)), torch.zeros(400, dtype=torch.int64))
        sums.add(random.normal(size=(256, 16)), torch.zeros(256, dtype=torch.int64))
        found.append(fit(sums, Portrait.of(portrait)))
    assert np.mean([one.distance for one in found]) == pytest.approx(1, abs=0.15)
    assert np.mean([one.spread for one in found]) == pytest.approx(1, abs=0.05)


def test_nothing_is_known_where_there_is_no_portrait() -> None:
    assert known_world(Sums.none(1, 16), {}) == (None, {})
