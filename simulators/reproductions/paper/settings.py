"""The settings of an arm: of its stream, and of its learner.

Invariant: what is not the method's is the preset's.
"""

from __future__ import annotations

from typing import Any

from si_stream.learning.presets import PRESETS
from si_stream.settings import Settings
from simulators.options import ReplayOptions
from simulators.reproductions import groups
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import (
    CONSOLIDATORS,
    DROPOUT,
    DROPOUT_SHARE,
    JOINT,
    NONE,
    Benchmark,
)
from simulators.reproductions.paper.variations import varied
from simulators.reproductions.recipe import Recipe


def decided_by(benchmark: Benchmark, arm: Arm, seed: int, device: str = "auto") -> dict[str, Any]:
    """All that decides a run, as it stands in its record."""
    stream = recipe(benchmark, arm)
    stream = stream.model_copy(update={"replay": stream.options(seed, "announced")})
    return {
        "stream": stream.model_dump(mode="json"),
        "learner": groups.groups_of(learner(benchmark, arm, seed, device)),
        "method": arm.method,
        "validation": arm.validation,
        "variation": arm.variation,
    }


def defaults() -> dict[str, Any]:
    """Of what `decided_by` tells."""
    usual = Recipe(data="split-mnist").model_dump(mode="json")
    learner = groups.groups_of(Settings())
    return {"stream": usual, "learner": learner, "validation": False, "variation": None}


def recipe(benchmark: Benchmark, arm: Arm) -> Recipe:
    replay = ReplayOptions(epochs_per_task=arm.epochs, holdout=False)
    return Recipe(
        data=benchmark.name, task_count=arm.tasks, samples_per_task=arm.samples, replay=replay
    )


def learner(benchmark: Benchmark, arm: Arm, seed: int, device: str = "auto") -> Settings:
    """The preset's settings with this method in the place of its consolidator.

    Raises:
        SettingsError: this version has no such setting.
    """
    chosen = {**PRESETS[benchmark.name], "holdout": {"source": "off"}}
    if arm.strength is not None:
        given = {"kind": arm.method, "strength": arm.strength}
        chosen["consolidator"] = {**chosen["consolidator"], **given}
    elif arm.method == NONE:  # as the authors ran it: ω is measured, and nothing pulls
        chosen["consolidator"] = {**chosen["consolidator"], "strength": 0.0}
    else:
        chosen["consolidator"] = {"kind": arm.method if arm.method in CONSOLIDATORS else NONE}
    if arm.method == DROPOUT:
        model = chosen["model"]
        network = {**model["network"], "hidden_dropout": DROPOUT_SHARE}
        chosen["model"] = {**model, "network": network}
    if arm.method == JOINT:  # a batch of another task is no boundary to it
        chosen["boundaries"] = {"mode": "task-name"}
        chosen["optimiser"] = {**chosen["optimiser"], "keep_over_boundary": "all"}
    if arm.variation is not None:
        chosen = varied(chosen, arm.variation)
    return groups.settings_of(chosen, seed, device, f"method {arm.method}")
