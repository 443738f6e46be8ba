"""How right the head is that is chosen for inputs that name no task, and how right its answers are.

Each scenario is learned with a head for each task, told every boundary, and asked about test
samples of all tasks with the task told, the active one, the most confident head, and the one whose
portrait the input fits best. Invariant: a measurement follows from the scenario and the seed; what
a temperature is fitted to is not tested on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.boundaries.choice import Chooser, Likeness
from si_stream.boundaries.portraits import Portraits
from si_stream.learning.learner import Learner
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    OptimiserOptions,
)
from si_stream.learning.presets import PRESETS
from simulators.options import ScenarioName
from simulators.reproductions.machine import commit
from simulators.scenarios import Purpose, Scenario, load_scenario, random_generator

COMMAND = "python -m simulators.reproductions.head_choice"
FILE = Path("docs/results/head-choice.json")
BINS = 15
HELD, TESTED = 400, 1000  # samples of each task's test set, if it has them
ASKED = 500  # samples at a time


class Course(NamedTuple):
    """What a scenario is learned with; ``samples`` of a task, all of them where that is None."""

    preset: str
    epochs: int
    samples: int | None = None
    tasks: int | None = None
    batch_size: int | None = None  # the preset's


COURSES: dict[ScenarioName, Course] = {
    "split-digits": Course("split-digits", 10),
    "split-mnist": Course("split-mnist", 2),
    "rotated-mnist": Course("split-mnist", 1, 10_000),
    "permuted-mnist": Course("split-mnist", 1, 10_000, 5),
    "contrast-mnist": Course("split-mnist", 1, 10_000),
    "split-cifar": Course("split-cifar", 2, 2_000, batch_size=64),
}
RUNS: tuple[tuple[ScenarioName, int], ...] = (
    *(("split-mnist", seed) for seed in range(3)),
    *((name, 0) for name in COURSES if name != "split-mnist"),
)


class Asked(NamedTuple):
    """Samples of all tasks: each one's task and label, what T heads of C outputs say of it, and how
    well it fits their tasks' portraits."""

    own_B: Tensor
    labels_B: Tensor
    logits_BTC: Tensor
    scores_BT: Tensor


def measure(scenario: ScenarioName, seed: int = 0) -> dict[str, Any]:
    """The accuracies of one scenario, as JSON has it: ``accuracy`` of the classes answered, by the
    way in which the head was chosen, and ``task_accuracy`` of the heads themselves.

    Raises:
        DataError: the data set can be neither found nor downloaded.
    """
    torch.set_num_threads(ComputeOptions().threads)  # another number gives other bits
    course = COURSES[scenario]
    told = load_scenario(scenario, seed=seed, task_count=course.tasks)
    learner, portraits = learn(told, course, seed)
    likenesses = [Likeness.of(portraits.known[task]) for task in range(len(told.tasks))]
    assert all(likenesses)
    usual = Chooser(told.schema.input_shape, [one for one in likenesses if one])
    held, tested = sampled(told, seed)
    chooser = usual.fitted([torch.from_numpy(inputs) for inputs, _ in held])
    asked = ask(learner, chooser, tested)

    last = torch.full_like(asked.own_B, len(told.tasks) - 1)
    surest = asked.logits_BTC.softmax(2).amax(2)
    chosen = {
        "told": asked.own_B,
        "active": last,
        "confidence": surest.argmax(1),
        "portrait": asked.scores_BT.argmax(1),
    }
    return {
        "scenario": scenario,
        "seed": seed,
        "preset": course.preset,
        "tasks": len(told.tasks),
        "epochs": course.epochs,
        "samples_per_task": course.samples,
        "batch_size": learner.model.batch_size,
        "tested_samples": len(asked.own_B),
        "fitted_samples": chooser.fitted_samples,
        "temperature": chooser.temperature,
        "accuracy": {way: share(right(told, asked, heads_B)) for way, heads_B in chosen.items()},
        "task_accuracy": {way: share(heads_B == asked.own_B) for way, heads_B in chosen.items()},
        "task_calibration_error": {
            f"temperature {temperature}": calibration_error(
                (asked.scores_BT / divisor).softmax(1).amax(1),
                chosen["portrait"] == asked.own_B,
            )
            for temperature, divisor in (
                ("1", 1.0),
                ("usual", usual.temperature),
                ("fitted", chooser.temperature),
            )
        },
    }


def learn(told: Scenario, course: Course, seed: int) -> tuple[Learner, Portraits]:
    """With the settings of the preset, but for a head for each task and samples of this shape."""
    preset = PRESETS[course.preset]
    schema = told.schema
    batch_size = course.batch_size or preset["model"]["batch_size"]
    shape = {"input_shape": schema.input_shape, "outputs": schema.outputs, "batch_size": batch_size}
    chosen = preset["model"] | shape | {"heads": "per-task", "seed": seed}
    model = ModelOptions(**chosen)
    learner = Learner(
        model,
        OptimiserOptions(**preset["optimiser"]),
        ConsolidatorOptions(**preset["consolidator"]),
        ComputeOptions(device="cpu"),
    )
    portraits = Portraits(schema.input_shape, schema.outputs)
    for number, task in enumerate(told.tasks):
        for epoch in range(course.epochs):
            order = random_generator(seed, Purpose.ORDER, number, epoch).permutation(
                len(task.train)
            )[: course.samples]
            for first in range(0, len(order), model.batch_size):
                inputs, labels = task.train.take(order[first : first + model.batch_size])
                x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
                learner.learn(x, y, number)
                portraits.see(number, x, y)
        learner.consolidate(number)
        portraits.end(number)
    return learner, portraits


Samples = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]


def sampled(told: Scenario, seed: int) -> tuple[list[Samples], list[Samples]]:
    """Of each task, samples to fit to and others to test on, at most two thirds of its test set."""
    held, tested = [], []
    for number, task in enumerate(told.tasks):
        order = random_generator(seed, Purpose.HOLDOUT, number).permutation(len(task.test))
        first = min(HELD, len(order) // 3)
        held.append(task.test.take(order[:first]))
        tested.append(task.test.take(order[first : first + TESTED]))
    return held, tested


def ask(learner: Learner, chooser: Chooser, tested: list[Samples]) -> Asked:
    own, labels, logits, scores = [], [], [], []
    for number, inputs, given in pieces(tested):
        x = torch.from_numpy(inputs)
        heads = range(len(tested))
        logits.append(torch.stack([learner.predict(x, head) for head in heads], 1))
        scores.append(chooser.scores(inputs))
        own.append(torch.full((len(given),), number))
        labels.append(torch.from_numpy(given))
    return Asked(torch.cat(own), torch.cat(labels), torch.cat(logits), torch.cat(scores))


def pieces(tested: list[Samples]) -> Iterator[tuple[int, npt.NDArray[Any], npt.NDArray[np.int64]]]:
    for number, (inputs, labels) in enumerate(tested):
        for first in range(0, len(labels), ASKED):
            yield number, inputs[first : first + ASKED], labels[first : first + ASKED]


def right(told: Scenario, asked: Asked, heads_B: Tensor) -> Tensor:
    """Which of the inputs are answered with their class: the same label may be another class's in
    another task."""
    logits_BC = asked.logits_BTC[torch.arange(len(heads_B)), heads_B]
    names = sorted({name for task in told.tasks for name in task.classes})
    numbers = {name: number for number, name in enumerate(names)}
    class_TC = torch.full((len(told.tasks), logits_BC.size(1)), -1)
    for number, task in enumerate(told.tasks):
        class_TC[number, : len(task.classes)] = torch.tensor([numbers[n] for n in task.classes])
    return class_TC[heads_B, logits_BC.argmax(1)] == class_TC[asked.own_B, asked.labels_B]


def share(right_B: Tensor) -> float:
    return round(float(right_B.double().mean()), 4)


def calibration_error(sure_B: Tensor, right_B: Tensor) -> float:
    """By how much, on average, the share of right choices differs from how sure they are.

    Over bins of equal width: Naeini, Cooper & Hauskrecht, AAAI (2015).
    """
    bins = (sure_B * BINS).long().clamp(max=BINS - 1)
    apart = torch.zeros(BINS, dtype=torch.float64)
    apart.index_add_(0, bins, right_B.double() - sure_B.double())
    return round(float(apart.abs().sum()) / len(bins), 4)


def main() -> None:
    """Measure all, and write the file."""
    result: dict[str, Any] = {"command": COMMAND, "commit": commit(), "runs": []}
    for scenario, seed in RUNS:
        print(f"{scenario}, seed {seed}", file=sys.stderr, flush=True)
        result["runs"].append(measure(scenario, seed))
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
