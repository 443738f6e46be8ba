"""The commands of the paper's benchmarks.

Importing this module is cheap; torch and data sets are loaded when a command runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from simulators.reproductions.flags import RESULTS, Device, Directory, Page, Processes
from simulators.reproductions.paper.arm import ALL, planned, rivals
from simulators.reproductions.paper.catalogue import BENCHMARKS, METHODS, NONE, SI, Benchmark
from simulators.reproductions.paper.variations import VARIATIONS

Methods = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help=f"May be said again. There are {', '.join(METHODS)}, and {ALL} of them: dropout is "
        "none with half of the hidden units dropped, joint all tasks at the same time, "
        "from-scratch a network for each.",
        show_default="the authors'",
    ),
]
Strengths = Annotated[
    list[float] | None,
    typer.Option(
        min=0,
        metavar="C",
        help="Of the methods that have one; may be said again. With --grid, those to choose from.",
        show_default="the authors'",
    ),
]
Variations = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NAME",
        help="Also with one detail done otherwise, to see what it is worth; may be said again. "
        + "; ".join(f"{name}: {one.text}" for name, one in VARIATIONS.items()),
        show_default="none",
    ),
]
Grid = Annotated[
    bool,
    typer.Option(
        "--grid",
        help="Choose the strength on the last tenth of each task's training samples, then learn "
        "from all of them and read the test set once.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="Of each task.", show_default="the authors'")
]
TaskCount = Annotated[
    int | None, typer.Option(min=1, help="Only the first so many tasks.", show_default="all")
]
Samples = Annotated[
    int | None,
    typer.Option(min=10, help="Of a task, drawn by the seed, to train on.", show_default="all"),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Of each method.", show_default="the authors'")
]


def importance_command(
    seeds: Seeds = None,
    epochs: Epochs = None,
    task_count: TaskCount = None,
    samples_per_task: Samples = None,
    directory: Directory = RESULTS,
    processes: Processes = 1,
    device: Device = "auto",
    page: Page = None,
) -> None:
    """Importance in permuted MNIST (Fig. 5).

    The correlation of ω between tasks, layer by layer, with and without consolidation; and of what
    each task adds to Ω with the diagonal of the Fisher information. Both are looked at in every run
    of Synaptic Intelligence: these are two of permuted-mnist's, c = 0.1 and none, and they have the
    same records.
    """
    paper_command(BENCHMARKS["permuted-mnist"])(
        methods=[SI, NONE],
        strength=[0.1],
        epochs=epochs,
        task_count=task_count,
        samples_per_task=samples_per_task,
        seeds=seeds,
        directory=directory,
        processes=processes,
        device=device,
        page=page,
    )


def paper_command(benchmark: Benchmark) -> Callable[..., None]:
    """The command that runs a benchmark."""
    usual = ", ".join(f"{one:g}" for one in benchmark.strengths)

    def command(
        methods: Methods = None,
        strength: Strengths = None,
        grid: Grid = False,
        variations: Variations = None,
        epochs: Epochs = None,
        task_count: TaskCount = None,
        samples_per_task: Samples = None,
        seeds: Seeds = None,
        directory: Directory = RESULTS,
        processes: Processes = 1,
        device: Device = "auto",
        page: Page = None,
    ) -> None:
        strengths = [one + 0.0 for one in strength or ()]  # −0 is 0
        arms = planned(
            benchmark,
            methods=methods or (),
            strengths=strengths,
            epochs=epochs,
            tasks=task_count,
            samples=samples_per_task,
            variations=variations or (),
        )
        to_choose = rivals(benchmark, arms, strengths) if grid else []
        from simulators.reproductions.paper.overview import write_overview
        from simulators.reproductions.paper.reproduction import PaperBenchmark, chosen_arm
        from simulators.reproductions.reproduction import Place
        from simulators.reproductions.runner import Runner

        runner = Runner(directory, seeds, processes, device, page)
        if to_choose:
            every = tuple(arm for group in to_choose for arm in group)
            runner.run(PaperBenchmark(benchmark.name, every))
            runs = Place(directory, benchmark.name).runs
            best = [
                chosen_arm(group, benchmark, runs, seeds or benchmark.seeds) for group in to_choose
            ]
            for arm in best:
                told = f" with {arm.variation}" if arm.variation else ""
                runner.screen.say(f"{arm.method}{told}: strength {arm.strength:g} is chosen")
            arms = [arm for arm in arms if not arm.has_strength] + best
        runner.run(PaperBenchmark(benchmark.name, tuple(arms)))
        runner.screen.say(f"overview {write_overview(directory)}")

    command.__doc__ = f"""{benchmark.title}.

    By default {", ".join(benchmark.methods)}, at strength {usual}: {benchmark.epochs} epochs of
    {benchmark.tasks} tasks, seeds: {benchmark.seeds}. Each task is learned as a stream, told its
    boundaries, and tested at each of them on its whole test set and on its training samples.

    Data sets are looked for in the directory SI_STREAM_DATA and downloaded where they are missing.
    A run whose record is in the directory is not done again; what strengths have in common, their
    first task, is learned once. After Ctrl-C the same command goes on where the runs at hand were;
    what a crash loses of them is five minutes.
    """
    return command
