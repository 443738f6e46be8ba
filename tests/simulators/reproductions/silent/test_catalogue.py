from __future__ import annotations

import pytest

from si_stream.errors import SettingsError
from simulators.reproductions.silent.catalogue import TRIALS
from simulators.reproductions.silent.trial import decided_by, settings_of

OTHER_SIGNALS = {f"ablation-{name}" for name in ("errors", "losses", "inputs")} | {
    "recurring-errors"
}


@pytest.mark.parametrize("name", TRIALS)
def test_its_settings_are_those_of_this_version(name: str) -> None:
    settings = settings_of(TRIALS[name], 3)
    assert settings.model.seed == 3
    assert settings.holdout.source == "off"
    settings.require_model()


@pytest.mark.parametrize("name", TRIALS)
def test_detection_is_at_its_defaults_but_for_which_signals_are_watched(name: str) -> None:
    changed = set(TRIALS[name].learner["detection"]) - {"kind"}
    assert changed == ({"signals"} if name in OTHER_SIGNALS else set())
    assert TRIALS[name].learner["detection"]["kind"] == "adwin"


@pytest.mark.parametrize("name", TRIALS)
def test_boundaries_fall_anywhere_in_a_batch_and_nothing_is_held_out(name: str) -> None:
    replay, model = TRIALS[name].stream.replay, TRIALS[name].learner["model"]
    assert replay.boundary_jitter_samples >= model["batch_size"] - 1
    assert not replay.holdout


def test_the_stationary_streams_are_three_million_samples_together() -> None:
    chosen = [TRIALS[name] for name in ("stationary-5", "stationary-20")]
    assert sum(one.seeds * one.stream.replay.epochs_per_task * 60_000 for one in chosen) == 3e6


def test_no_scenario_has_fewer_than_three_seeds() -> None:
    assert min(trial.seeds for trial in TRIALS.values()) >= 3


def test_each_seed_is_another_stream() -> None:
    first, second = (decided_by(TRIALS["split-mnist"], seed) for seed in (0, 1))
    assert first["stream"]["replay"]["seed"] != second["stream"]["replay"]["seed"]


def test_a_setting_that_there_is_not_is_named() -> None:
    trial = TRIALS["split-mnist"]
    unknown = {**trial.learner, "detection": {"kind": "adwin", "nose": "long"}}
    with pytest.raises(SettingsError, match=r"scenario split-mnist .*detection\.nose"):
        settings_of(trial.model_copy(update={"learner": unknown}), 0)
