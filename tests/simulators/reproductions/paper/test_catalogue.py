from __future__ import annotations

import pytest

from si_stream.learning.options import ConsolidatorOptions
from simulators.reproductions.paper.arm import planned
from simulators.reproductions.paper.catalogue import BENCHMARKS, NONE, SI, Benchmark
from simulators.reproductions.paper.published import AUTHORS, PUBLISHED
from simulators.reproductions.paper.settings import learner, recipe

every = pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)


@every
def test_its_settings_are_those_of_this_version(benchmark: Benchmark) -> None:
    for arm in planned(benchmark):
        settings = learner(benchmark, arm, 3)
        settings.require_model()
        assert settings.model.seed == 3
        assert settings.detection.kind == "off"
        assert (settings.consolidator.kind, settings.consolidator.strength) == {
            SI: (SI, arm.strength),
            NONE: (SI, 0.0),  # as the authors ran it
        }.get(arm.method, (NONE, ConsolidatorOptions().strength))
        assert recipe(benchmark, arm).replay.epochs_per_task == benchmark.epochs


@every
def test_nothing_is_held_out_of_the_stream(benchmark: Benchmark) -> None:
    for arm in planned(benchmark):
        assert learner(benchmark, arm, 0).holdout.source == "off"
        assert not recipe(benchmark, arm).replay.holdout


def test_the_authors_settings_are_the_default() -> None:
    told = {
        name: (one.tasks, one.epochs, one.seeds, one.strengths)
        for name, one in BENCHMARKS.items()
        if name != "split-digits"
    }
    assert told == {
        "split-mnist": (5, 10, 10, (1.0,)),
        "permuted-mnist": (10, 20, 1, (0.1, 0.02, 0.01)),
        "split-cifar": (6, 60, 5, (0.01, 0.1)),
    }
    damping = {n: learner(b, planned(b)[0], 0).consolidator.damping for n, b in BENCHMARKS.items()}
    assert damping["permuted-mnist"] == 0.1
    assert damping["split-mnist"] == damping["split-cifar"] == 1e-3


def test_what_the_authors_report_is_of_as_many_tasks_and_agrees_with_its_average() -> None:
    for name, published in PUBLISHED.items():
        for one in published:
            assert len(one.parts) in (0, BENCHMARKS[name].tasks)
            if one.parts and one.source == AUTHORS:
                bars = BENCHMARKS[name].figure == "bars"
                average = sum(one.parts) / len(one.parts) if bars else one.parts[-1]
                assert average == pytest.approx(one.average, abs=0.06)
