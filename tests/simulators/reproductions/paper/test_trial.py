"""Runs of the bundled digits, against the bare learner and against the service's own matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from si_stream.brokers import open_broker
from si_stream.learning.learner import Learner
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    OptimiserOptions,
)
from si_stream.learning.presets import PRESETS
from simulators.options import ReplayOptions
from simulators.replay import envelopes
from simulators.reproductions.paper.arm import Arm, planned
from simulators.reproductions.paper.catalogue import (
    CONSOLIDATORS,
    DROPOUT,
    JOINT,
    NONE,
    SCRATCH,
    SI,
)
from simulators.reproductions.paper.record import PaperRecord
from simulators.reproductions.paper.settings import decided_by, learner, recipe
from simulators.reproductions.paper.trial import held_back, run_arm
from simulators.reproductions.paper.variations import VARIATIONS
from simulators.scenarios import Purpose, SampleSet, Scenario, random_generator
from tests.simulators.reproductions.paper.making import DIGITS
from tests.streams import filled, learn, settings

ARM = Arm(SI, 1.0, 2, 3)


def run(arm: Arm, seed: int = 0) -> PaperRecord:
    return run_arm(DIGITS, arm, seed, device="cpu")


@pytest.fixture(scope="module")
def record() -> PaperRecord:
    return run(ARM)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return recipe(DIGITS, ARM).scenario(0)


def bare() -> Learner:
    preset = PRESETS["split-digits"]
    return Learner(
        ModelOptions(**preset["model"], seed=0),
        OptimiserOptions(**preset["optimiser"]),
        ConsolidatorOptions(strength=1.0, damping=1e-3),
        ComputeOptions(device="cpu"),
    )


def accuracy(model: Learner, samples: SampleSet, head: int) -> float:
    inputs, labels = (torch.from_numpy(part) for part in samples.take(np.arange(len(samples))))
    return float((model.predict(inputs, head).argmax(1) == labels).double().mean())


def test_its_matrix_is_that_of_the_bare_learner_on_the_same_batches(
    record: PaperRecord, scenario: Scenario
) -> None:
    model = bare()
    for number, task in enumerate(scenario.tasks):
        orders = [
            random_generator(0, Purpose.ORDER, number, epoch).permutation(len(task.train))
            for epoch in range(ARM.epochs)
        ]
        order, size = np.concatenate(orders), model.model.batch_size
        for first in range(0, len(order), size):
            inputs, labels = task.train.take(order[first : first + size])
            model.learn(torch.from_numpy(inputs), torch.from_numpy(labels), number)
        model.consolidate(number)
        row = record.rows[number]
        assert row.after == task.name
        begun = list(enumerate(scenario.tasks[: number + 1]))
        assert row.test == {one.name: accuracy(model, one.test, head) for head, one in begun}
        assert row.train == {one.name: accuracy(model, one.train, head) for head, one in begun}


def test_a_run_through_the_embedded_broker_gives_the_same_matrix(
    record: PaperRecord, scenario: Scenario, tmp_path: Path
) -> None:
    """The service's own, of test sets that are sent as holdouts."""
    chosen = learner(DIGITS, ARM, 0, "cpu")
    groups = {name: getattr(chosen, name).model_dump() for name in ("optimiser", "consolidator")}
    given = settings(tmp_path, model=chosen.model.model_dump(), **groups)
    with open_broker(f"embedded:{tmp_path / 'log'}") as broker:
        filled(broker, envelopes(scenario, ReplayOptions(epochs_per_task=ARM.epochs)))
        state, _ = learn(broker, given)
    assert state.measures()["main"].accuracy.rows == [
        [row.test[task] for task in row.test] for row in record.rows
    ]


def test_its_settings_are_the_presets_and_it_is_the_arms(record: PaperRecord) -> None:
    assert record.settings == decided_by(DIGITS, ARM, 0, "cpu")
    assert (record.scenario, record.method) == ("synaptic-intelligence-c-1-2-epochs-3-tasks", SI)
    assert record.tasks == [row.after for row in record.rows]
    assert record.samples == 2 * sum(len(t.train) for t in recipe(DIGITS, ARM).scenario(0).tasks)


def test_without_consolidation_the_first_task_is_learned_the_same(record: PaperRecord) -> None:
    none = run(Arm(NONE, None, 2, 3))
    assert none.rows[0] == record.rows[0]
    assert none.rows[1:] != record.rows[1:]


@pytest.mark.parametrize("method", [*CONSOLIDATORS, DROPOUT])
def test_every_method_is_one_network_that_learns_task_after_task(method: str) -> None:
    (arm,) = planned(DIGITS, methods=[method], epochs=1, tasks=2)
    found = run(arm)
    first, second = found.tasks
    assert [list(row.test) for row in found.rows] == [[first], [first, second]]
    assert found.matrix.mean_forgetting() is not None
    dropped = found.settings["learner"]["model"]["network"]["hidden_dropout"]
    assert dropped == (0.5 if method == DROPOUT else 0.0)
    consolidator = found.settings["learner"]["consolidator"]
    assert consolidator["kind"] == {DROPOUT: NONE, NONE: SI}.get(method, method)
    assert (consolidator["strength"] == 0) == (method == NONE)
    assert (found.importance is not None) == (method in (SI, NONE))


@pytest.mark.parametrize("variation", VARIATIONS)
def test_a_variation_learns_the_first_task_as_ever_unless_it_begins_there(
    record: PaperRecord, variation: str
) -> None:
    varied = run(ARM._replace(variation=variation))
    assert varied.variation == variation
    begins_there = VARIATIONS[variation].from_the_first_task
    first, usual = (
        one.importance.with_fisher["hidden-1"][0] for one in (varied, record) if one.importance
    )
    assert (first == usual) != begins_there
    own = varied.settings["learner"], record.settings["learner"]
    assert (own[0] == own[1]) == (variation in {"relu-by-task", "adam-step-count"})


def test_of_fewer_samples_it_learns_so_many_of_each_task_and_is_tested_on_all(
    record: PaperRecord,
) -> None:
    found = run(ARM._replace(samples=100))
    assert found.samples == ARM.epochs * ARM.tasks * 100
    assert found.scenario == "synaptic-intelligence-c-1-2-epochs-3-tasks-100-samples"
    assert [list(row.test) for row in found.rows] == [list(row.test) for row in record.rows]
    assert found.rows[0].test != record.rows[0].test


def test_from_scratch_each_task_has_a_network_of_its_own(
    record: PaperRecord, scenario: Scenario
) -> None:
    scratch = run(Arm(SCRATCH, None, 2, 3))
    assert [list(row.test) for row in scratch.rows] == [[task.name] for task in scenario.tasks]
    assert scratch.rows[0].test == record.rows[0].test
    assert list(scratch.final) == record.tasks
    assert scratch.samples == record.samples


def test_joint_training_is_tested_once_on_all_tasks(record: PaperRecord) -> None:
    joint = run(Arm(JOINT, None, 2, 3))
    assert [list(row.test) for row in joint.rows] == [record.tasks]
    assert joint.samples == record.samples
    assert min(joint.final.values()) > 0.85
    assert not joint.is_sequence


def test_the_strength_is_chosen_on_the_last_tenth_of_the_training_samples(
    scenario: Scenario,
) -> None:
    for task, held in zip(scenario.tasks, held_back(scenario).tasks, strict=True):
        assert len(held.test) == len(task.train) // 10
        rows = np.concatenate([held.train.rows, held.test.rows])
        assert np.array_equal(rows, task.train.rows)
        assert np.array_equal(
            np.concatenate([held.train.labels, held.test.labels]), task.train.labels
        )
        assert held.test.images is task.train.images
    chooser = run(ARM._replace(validation=True))
    assert all(row.validation and not row.test for row in chooser.rows)
    assert chooser.samples == 2 * sum(len(task.train) for task in held_back(scenario).tasks)


def test_it_tells_its_share_up_to_one() -> None:
    shares: list[float] = []
    run_arm(DIGITS, Arm(SCRATCH, None, 1, 2), 0, device="cpu", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
