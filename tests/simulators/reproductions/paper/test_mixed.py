from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from si_stream.messages.codecs import decode
from si_stream.messages.kinds import End, Samples
from simulators.reproductions.paper.mixed import TOGETHER, mixed
from simulators.scenarios import Scenario, load_scenario


@pytest.fixture(scope="module", params=["split-digits", "permuted-digits"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return load_scenario(request.param, task_count=2)


def messages(scenario: Scenario, seed: int = 0, epochs: int = 2) -> list[Samples]:
    shared = scenario.name == "permuted-digits"
    stream = mixed(scenario, epochs=epochs, batch_size=32, shared_head=shared, seed=seed)
    *samples, end = [decode(one.headers, one.value, scenario.schema, 2**24) for one in stream]
    assert isinstance(end, End)
    return [one for one in samples if isinstance(one, Samples)]


def sorted_rows(inputs: np.ndarray, labels: np.ndarray) -> list[bytes]:
    rows = inputs.reshape(len(inputs), -1)
    return sorted(bytes([*row.tolist(), label]) for row, label in zip(rows, labels, strict=True))


def test_each_sample_comes_once_an_epoch_with_its_label(scenario: Scenario) -> None:
    told = messages(scenario)
    half = len(told) // 2
    given = [task.train.take(np.arange(len(task.train))) for task in scenario.tasks]
    wanted = sorted(row for one in given for row in sorted_rows(*one))
    for epoch in (told[:half], told[half:]):
        assert sorted(row for one in epoch for row in sorted_rows(one.inputs, one.labels)) == wanted


def test_tasks_are_mixed(scenario: Scenario) -> None:
    told = messages(scenario, epochs=1)
    if scenario.name == "permuted-digits":
        assert {one.task for one in told} == {TOGETHER}
        plain = {row.tobytes() for row in scenario.tasks[0].train.images}
        shares = [np.mean([row.tobytes() in plain for row in one.inputs]) for one in told[:-1]]
        assert 0.1 < min(shares) < max(shares) < 0.9
    else:
        names = [one.task for one in told]
        assert set(names) == {task.name for task in scenario.tasks}
        assert sum(a != b for a, b in pairwise(names)) > 3


def test_each_epoch_and_each_seed_is_in_another_order(scenario: Scenario) -> None:
    first, other = messages(scenario), messages(scenario, seed=1)
    half = len(first) // 2
    assert not np.array_equal(first[0].inputs, first[half].inputs)
    assert not np.array_equal(first[0].inputs, other[0].inputs)
