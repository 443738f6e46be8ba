from __future__ import annotations

import math

import pytest

from si_stream.errors import SettingsError
from simulators.reproductions.paper.arm import Arm, planned, rivals
from simulators.reproductions.paper.catalogue import BENCHMARKS, GRIDS, METHODS, NONE, SI, Benchmark
from simulators.reproductions.paper.variations import VARIATIONS

PERMUTED = BENCHMARKS["permuted-mnist"]


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
@pytest.mark.parametrize(
    "arm",
    [
        *(Arm(method, None, 3, 2) for method in METHODS),
        Arm(SI, 0.1, 20, 10),
        Arm(SI, 0.02, 3, 10),
        Arm(SI, 1e-5, 3, 2, validation=True),
        Arm(SI, 0.0, 1, 1),
        Arm(SI, 0.1, 3, 2, samples=500),
        Arm(SI, 0.123456789, 3, 2),
        Arm(SI, 1.23456789e-7, 3, 2),
        Arm(NONE, None, 20, 10, validation=True, samples=500),
        Arm(SI, 0.1, 3, 2, variation="adam-step-count"),
        Arm(NONE, None, 20, 5, samples=500, variation="glorot-heads"),
    ],
    ids=str,
)
def test_its_name_is_read_back(benchmark: Benchmark, arm: Arm) -> None:
    assert Arm.named(arm.name(benchmark), benchmark) == arm


def test_a_short_name_is_the_authors_run() -> None:
    assert Arm(SI, 0.1, 20, 10).name(PERMUTED) == "synaptic-intelligence-c-0.1"
    assert Arm(NONE, None, 3, 5).name(PERMUTED) == "none-3-epochs-5-tasks"


@pytest.mark.parametrize(
    "name",
    ["hope", "none-3", "synaptic-intelligence-c-", "split-mnist", "none-with-luck", "none-with-"],
)
def test_what_this_version_has_not_is_no_arm(name: str) -> None:
    assert Arm.named(name, PERMUTED) is None


def test_by_default_the_authors_curves_are_planned() -> None:
    assert [arm.name(PERMUTED) for arm in planned(PERMUTED)] == [
        *(f"synaptic-intelligence-c-{strength}" for strength in ("0.1", "0.02", "0.01")),
        "none",
        "joint",
    ]


def test_a_strength_is_for_the_methods_that_have_one() -> None:
    arms = planned(PERMUTED, methods=[NONE, SI], strengths=[2.0, 3.0, 2.0], epochs=4, tasks=6)
    assert arms == [Arm(NONE, None, 4, 6), Arm(SI, 2.0, 4, 6), Arm(SI, 3.0, 4, 6)]
    with pytest.raises(SettingsError, match="strength 2 is for none of the methods none"):
        planned(PERMUTED, methods=[NONE], strengths=[2.0])


def test_a_variation_is_beside_what_it_is_a_variation_of() -> None:
    arms = planned(PERMUTED, methods=[SI, NONE], strengths=[0.1], variations=["adam-anew"])
    assert [arm.name(PERMUTED) for arm in arms] == [
        "synaptic-intelligence-c-0.1",
        "none",
        "synaptic-intelligence-c-0.1-with-adam-anew",
        "none-with-adam-anew",
    ]
    with pytest.raises(SettingsError, match="no variation 'luck'; there are adam-kept"):
        planned(PERMUTED, variations=["luck"])


@pytest.mark.parametrize(
    ("benchmark", "usual"),
    [
        ("split-mnist", {"adam-step-count"}),
        ("permuted-mnist", {"adam-kept", "glorot-heads"}),
        ("split-cifar", {"adam-step-count"}),
    ],
)
def test_a_variation_that_is_how_the_authors_ran_it_is_refused(
    benchmark: str, usual: set[str]
) -> None:
    for name in usual:
        with pytest.raises(SettingsError, match=f"{name} is how {benchmark} is run without it"):
            planned(BENCHMARKS[benchmark], variations=[name])
    for name in VARIATIONS.keys() - usual:
        assert name in {arm.variation for arm in planned(BENCHMARKS[benchmark], variations=[name])}


def test_only_synaptic_intelligence_has_a_relu() -> None:
    arms = planned(PERMUTED, methods=[SI, NONE], variations=["relu-by-task"])
    assert {arm.method for arm in arms if arm.variation} == {SI}


def test_what_has_no_boundary_does_nothing_else_behind_one() -> None:
    methods = [SI, "joint", "from-scratch"]
    arms = planned(PERMUTED, methods=methods, variations=["adam-anew", "pytorch-epsilon"])
    assert {arm.method for arm in arms if arm.variation == "adam-anew"} == {SI}
    assert {arm.method for arm in arms if arm.variation == "pytorch-epsilon"} == set(methods)
    with pytest.raises(SettingsError, match="adam-anew changes nothing for joint: leave it out"):
        planned(PERMUTED, methods=["joint"], variations=["adam-anew"])


@pytest.mark.parametrize("strength", [math.inf, math.nan])
def test_a_strength_that_is_no_number_is_refused(strength: float) -> None:
    with pytest.raises(SettingsError, match=f"strength {strength}: give a number of 0 or more"):
        planned(PERMUTED, methods=[SI], strengths=[strength])


def test_all_are_those_that_the_benchmark_allows() -> None:
    assert {arm.method for arm in planned(PERMUTED, methods=["all"])} == set(METHODS)
    cifar = planned(BENCHMARKS["split-cifar"], methods=["all"])
    assert {arm.method for arm in cifar} == set(METHODS) - {"dropout"}


def test_of_fewer_samples_it_is_shorter_than_the_authors() -> None:
    (arm,) = planned(PERMUTED, methods=[NONE], samples=500)
    assert arm == Arm(NONE, None, 20, 10, samples=500)
    assert arm.is_shorter(PERMUTED)
    assert not arm._replace(samples=None).is_shorter(PERMUTED)


def test_a_method_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="no method 'hope'; there are synaptic-intelligence"):
        planned(PERMUTED, methods=["hope"])


def test_dropout_is_refused_where_the_network_has_its_own() -> None:
    with pytest.raises(SettingsError, match="split-cifar drops units whatever the method"):
        planned(BENCHMARKS["split-cifar"], methods=["dropout"])


def test_each_method_has_a_grid_of_its_own() -> None:
    ours, theirs = rivals(PERMUTED, planned(PERMUTED, methods=[SI, "ewc"]))
    assert [arm.strength for arm in ours] == list(PERMUTED.grid)
    assert [arm.strength for arm in theirs] == list(GRIDS["ewc"])


def test_rivals_are_of_the_grid_and_tested_on_what_is_held_back() -> None:
    (group,) = rivals(PERMUTED, planned(PERMUTED))
    assert [arm.strength for arm in group] == list(PERMUTED.grid)
    assert all(arm.validation and arm.method == SI for arm in group)
    (group,) = rivals(PERMUTED, planned(PERMUTED), [5.0])
    assert [arm.strength for arm in group] == [5.0]
    with pytest.raises(SettingsError, match="no method has one"):
        rivals(PERMUTED, planned(PERMUTED, methods=[NONE]))
