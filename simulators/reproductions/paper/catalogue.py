"""The catalogue: the paper's benchmarks as its authors ran them, and the methods to run them with.

Light to import. The learner's settings are those of the preset of the same name.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from si_stream.learning.options import ConsolidatorOptions, Options

BenchmarkName = Literal["split-mnist", "permuted-mnist", "split-cifar", "split-digits"]
Shape = Literal["panels", "curves", "bars"]

SI, NONE = "synaptic-intelligence", "none"
DROPOUT, JOINT, SCRATCH = "dropout", "joint", "from-scratch"
CONSOLIDATORS: tuple[str, ...] = get_args(ConsolidatorOptions.model_fields["kind"].annotation)
METHODS = (*CONSOLIDATORS, DROPOUT, JOINT, SCRATCH)
WITHOUT_STRENGTH = {NONE, "slow-trunk", DROPOUT, JOINT, SCRATCH}
# Of other methods than the paper's; what is a strong penalty differs by orders of magnitude.
GRIDS: dict[str, tuple[float, ...]] = {
    "ewc": (1e2, 1e3, 1e4, 1e5, 1e6, 1e7),
    "online-ewc": (1e2, 1e3, 1e4, 1e5, 1e6, 1e7),
    "lwf": (0.3, 1.0, 3.0, 10.0),
}
DROPOUT_SHARE = 0.5  # of hidden units, as in Fig. 4


class Benchmark(Options):
    """A benchmark as the authors ran it, or, of the digits, as a small one like theirs.

    Args:
        title: for people.
        tasks: how many it has.
        epochs: passes over a task.
        seeds: that the authors repeated it with.
        methods: that are run if nobody says otherwise.
        strengths: of Synaptic Intelligence, that the authors show.
        grid: strengths of Synaptic Intelligence to choose from.
        figure: of the paper, and how it is drawn.
        has_dropout: whether the authors' network has it.
        first_task: how many times as many samples as each of the others its first task has.
        seconds_per_epoch: that an epoch of all tasks takes on a core, roughly; for the time left
            alone.
    """

    name: BenchmarkName
    title: str
    tasks: PositiveInt
    epochs: PositiveInt
    seeds: PositiveInt
    methods: tuple[str, ...]
    strengths: tuple[NonNegativeFloat, ...]
    grid: tuple[NonNegativeFloat, ...]
    figure: Shape
    has_dropout: bool = False
    first_task: PositiveFloat = 1.0
    seconds_per_epoch: PositiveFloat


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="split-mnist",
            title="Split MNIST (Fig. 3)",
            tasks=5,
            epochs=10,
            seeds=10,
            methods=(SI, NONE),
            strengths=(1.0,),
            grid=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
            figure="panels",
            seconds_per_epoch=2.5,
        ),
        Benchmark(
            name="permuted-mnist",
            title="Permuted MNIST (Fig. 4)",
            tasks=10,
            epochs=20,
            seeds=1,
            methods=(SI, NONE, JOINT),
            strengths=(0.1, 0.02, 0.01),
            grid=(0.01, 0.02, 0.1, 0.3),
            figure="curves",
            seconds_per_epoch=165.0,
        ),
        Benchmark(
            name="split-cifar",
            title="Split CIFAR-10/100 (Fig. 6)",
            tasks=6,
            epochs=60,
            seeds=5,
            methods=(SI, NONE, SCRATCH),
            strengths=(0.01, 0.1),
            grid=(0.001, 0.003, 0.01, 0.03, 0.1),
            figure="bars",
            has_dropout=True,
            first_task=10.0,
            seconds_per_epoch=85.0,
        ),
        Benchmark(
            name="split-digits",
            title="Split digits, scikit-learn's: no download, some seconds",
            tasks=5,
            epochs=10,
            seeds=3,
            methods=(SI, NONE),
            strengths=(1.0,),
            grid=(0.1, 1.0, 10.0),
            figure="panels",
            seconds_per_epoch=0.3,
        ),
    )
}
