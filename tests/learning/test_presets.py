"""The presets are the settings that the paper's authors ran."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from si_stream.learning.learner import Learner
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    OptimiserOptions,
)
from si_stream.learning.presets import PRESETS
from si_stream.learning.synaptic_intelligence import SynapticIntelligence
from si_stream.settings import Settings

# preset: weights of trunk and head, strength c, damping ξ, batch, what Adam keeps
DENSE_784_256_256 = (784 + 1) * 256 + (256 + 1) * 256
DENSE_784_2000_2000 = (784 + 1) * 2000 + (2000 + 1) * 2000
CONVOLUTIONS = (27 + 1) * 32 + (288 + 1) * 32 + (288 + 1) * 64 + (576 + 1) * 64
AUTHORS = {
    "split-mnist": (DENSE_784_256_256, 257 * 2, 1.0, 1e-3, 64, "step-count"),
    "permuted-mnist": (DENSE_784_2000_2000, 2001 * 10, 0.1, 0.1, 256, "all"),
    "split-cifar": (CONVOLUTIONS + (2304 + 1) * 512, 513 * 10, 0.01, 1e-3, 256, "step-count"),
}


@pytest.fixture
def of_preset() -> Callable[[str], Learner]:
    def of_preset(name: str) -> Learner:
        given = PRESETS[name]
        return Learner(
            ModelOptions(**given["model"]),
            OptimiserOptions(**given["optimiser"]),
            ConsolidatorOptions(**given["consolidator"]),
            ComputeOptions(device="cpu"),
        )

    return of_preset


@pytest.mark.parametrize("name", AUTHORS)
def test_a_paper_preset_carries_the_authors_values(
    of_preset: Callable[[str], Learner], name: str
) -> None:
    trunk, head, strength, damping, batch, keep = AUTHORS[name]
    learner = of_preset(name)
    learner.open_heads(1)
    options = learner.optimiser.options
    assert (learner.trunk.size, learner.heads[0].size) == (trunk, head)
    assert isinstance(learner.consolidator, SynapticIntelligence)
    assert learner.consolidator.name == "synaptic-intelligence"
    assert (learner.consolidator.strength, learner.consolidator.damping) == (strength, damping)
    assert (learner.model.batch_size, options.keep_over_boundary) == (batch, keep)
    assert (options.kind, options.learning_rate, options.beta1, options.beta2) == (
        "adam", 1e-3, 0.9, 0.999,
    )  # fmt: skip
    assert options.epsilon_placement == "before-correction"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_tree_of_settings_that_builds(
    of_preset: Callable[[str], Learner], name: str
) -> None:
    Settings(**PRESETS[name]).require_model()
    assert of_preset(name).trunk.size > 0


def test_only_permuted_mnist_shares_one_head_and_starts_it_at_random(
    of_preset: Callable[[str], Learner],
) -> None:
    for name, preset in PRESETS.items():
        learner = of_preset(name)
        learner.open_heads(1)
        shared = name == "permuted-mnist"
        assert (preset["model"]["heads"] == "shared") == shared
        assert bool(learner.heads[0]["weights"].any()) == shared


def test_the_cifar_network_drops_a_quarter_a_quarter_and_a_half(
    of_preset: Callable[[str], Learner],
) -> None:
    dropouts = [m.p for m in of_preset("split-cifar").trunk.module.modules() if hasattr(m, "p")]
    assert dropouts == [0.25, 0.25, 0.5]
