"""Runs of the bundled digits, from the outside: the record against what the streams say."""

from __future__ import annotations

import pytest

from simulators.reproductions.silent.catalogue import TRIALS, Trial
from simulators.reproductions.silent.trial import TrialRecord, run_trial
from simulators.stretches import true_boundaries

DIGITS = TRIALS["split-digits"]


@pytest.fixture(scope="module")
def run() -> TrialRecord:
    return run_trial(DIGITS, 0, device="cpu", keep_errors=True)


@pytest.fixture(scope="module")
def unwound() -> TrialRecord:
    """Without the rewind."""
    return run_trial(DIGITS.model_copy(update={"rewind": False}), 0, device="cpu")


def test_it_knows_where_the_changes_are(run: TrialRecord) -> None:
    scenario, options = DIGITS.stream.scenario(0), DIGITS.stream.options(0, "silent")
    assert run.true_boundaries == true_boundaries(scenario, options)
    assert [one.first for one in run.stretches] == [0, *run.true_boundaries]
    assert [one.task for one in run.stretches] == [task.name for task in scenario.tasks]
    assert run.stretches[-1].end == run.samples


def test_its_silent_tasks_are_the_told_ones_under_other_names(run: TrialRecord) -> None:
    assert [one.silent_task for one in run.stretches] == ["task-1", "task-2", "task-3"]
    assert all(one.silent_head == one.told_head for one in run.stretches)


def test_the_curves_are_the_means_of_the_errors(run: TrialRecord) -> None:
    assert run.errors is not None
    assert len(run.errors.told) == -(-run.samples // run.errors.bin_samples)
    assert run.errors.told[0] > 0.2 > run.errors.told[run.true_boundaries[0] // 12 - 5]
    for close in run.errors.places:
        assert len(close.told) == len(close.silent) == 768
        before, behind = close.taken_back[:256], close.taken_back[256:]
        assert before.count("1") / len(before) < 0.1 < behind.count("1") / len(behind)


def test_its_first_weights_and_samples_are_the_same_told_and_silent(run: TrialRecord) -> None:
    assert run.errors is not None
    first = run.true_boundaries[0] // run.errors.bin_samples
    assert run.errors.told[:first] == run.errors.silent[:first]


def test_without_the_rewind_the_old_task_suffers(run: TrialRecord, unwound: TrialRecord) -> None:
    assert unwound.alarms == run.alarms
    assert unwound.accuracy_with_rewind == {name: one.silent for name, one in run.accuracy.items()}
    assert {name: one.told for name, one in unwound.accuracy.items()} == {
        name: one.told for name, one in run.accuracy.items()
    }
    assert [one.silent_task for one in unwound.stretches] == ["task-1", "task-2", "task-3"]


def test_told_late_it_learns_one_sample_of_each_new_task_as_the_old_one() -> None:
    """With noise, of which every sample moves the weights, it is another network."""
    replay = DIGITS.stream.replay.model_copy(update={"label_noise": 0.3, "epochs_per_task": 2})
    stream = DIGITS.stream.model_copy(update={"replay": replay})
    trial = DIGITS.model_copy(update={"stream": stream, "told_late": True})
    found = run_trial(trial, 0, device="cpu")
    assert found.accuracy_told_late is not None
    told = {name: one.told for name, one in found.accuracy.items()}
    assert found.accuracy_told_late != told
    assert found.accuracy_told_late == pytest.approx(told, abs=0.2)


def test_a_run_that_is_told_of_its_share_hears_it_rise_to_one() -> None:
    shares: list[float] = []
    short = DIGITS.stream.model_copy(update={"task_count": 1})
    trial: Trial = DIGITS.model_copy(update={"stream": short})
    run_trial(trial, 0, device="cpu", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1.0
