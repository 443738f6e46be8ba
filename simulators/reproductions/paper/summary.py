"""The summary: what the runs of an arm show together.

Invariant: made from the records alone; ratios are 0 to 1, and None is where there is nothing to
measure, such as the forgetting of one task. Nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import SI, Benchmark
from simulators.reproductions.paper.record import PaperRecord
from simulators.reproductions.spread import rounded, standard_deviation, standard_error


def summarised(benchmark: Benchmark, arm: Arm, records: Sequence[PaperRecord]) -> dict[str, Any]:
    """Of one arm, one record or more. ``reduced``: with fewer epochs, tasks, samples or seeds than
    the authors had."""
    averages = [average(record) for record in records]
    sequence = records[0].is_sequence and len(records[0].tasks) > 1
    matrices = [record.matrix for record in records] if sequence else []
    tasks = records[0].tasks
    return {
        "title": label(arm, benchmark),
        "method": arm.method,
        "strength": arm.strength,
        "variation": arm.variation,
        "seeds": len(records),
        "epochs": arm.epochs,
        "tasks": arm.tasks,
        "samples_per_task": arm.samples,
        "reduced": arm.is_shorter(benchmark) or len(records) < benchmark.seeds,
        "tested_on": "validation" if arm.validation else "test",
        "average_accuracy": round(mean(averages), 5),
        "average_accuracy_sd": rounded(standard_deviation(averages)),
        "average_accuracy_standard_error": rounded(standard_error(averages)),
        "average_accuracy_by_seed": {
            str(record.seed): round(value, 5)
            for record, value in zip(records, averages, strict=True)
        },
        "average_accuracy_training": rounded(
            mean(mean(record.final_train.values()) for record in records)
        ),
        "forgetting": _mean_of([matrix.mean_forgetting() for matrix in matrices]),
        "backward_transfer": _mean_of([matrix.backward_transfer() for matrix in matrices]),
        "accuracy": _by_task(tasks, records, lambda record: record.final),
        "accuracy_sd": {
            task: rounded(standard_deviation([record.final[task] for record in records]))
            for task in tasks
        },
        "accuracy_training": _by_task(tasks, records, lambda record: record.final_train),
        "average_accuracy_after_each_task": [
            round(mean(values), 5)
            for values in zip(*(record.curve for record in records), strict=True)
        ],
        "importance": _importance(records),
    }


def average(record: PaperRecord) -> float:
    """The mean accuracy of its tasks, at the end."""
    return mean(record.final.values())


def label(arm: Arm, benchmark: Benchmark) -> str:
    """For people.

    >>> from simulators.reproductions.paper.catalogue import BENCHMARKS
    >>> label(Arm("synaptic-intelligence", 0.02, 3, 10), BENCHMARKS["permuted-mnist"])
    'SI, c = 0.02, 3 epochs'
    """
    parts = ["SI" if arm.method == SI else arm.method]
    if arm.strength is not None:
        parts.append(f"c = {arm.strength:g}")
    if arm.variation is not None:
        parts.append(arm.variation)
    if arm.epochs != benchmark.epochs:
        parts.append(f"{arm.epochs} epochs")
    if arm.tasks != benchmark.tasks:
        parts.append(f"{arm.tasks} tasks")
    if arm.samples is not None:
        parts.append(f"{arm.samples:,} samples a task")
    return ", ".join(parts) + (" (to choose c by)" if arm.validation else "")


def best(arms: Sequence[Arm], records: Mapping[Arm, Sequence[PaperRecord]]) -> Arm:
    """The one with the highest mean accuracy; of two equals the weaker."""
    ordered = sorted(arms, key=lambda arm: arm.strength or 0.0)
    return max(ordered, key=lambda arm: mean(map(average, records[arm])))


def _importance(records: Sequence[PaperRecord]) -> dict[str, dict[str, float]] | None:
    """By layer: correlations of ω between two tasks, and of importance with the Fisher information;
    means over pairs or tasks, and seeds."""
    found = [record.importance for record in records if record.importance]
    if not found:
        return None
    return {
        layer: {
            "between_tasks": round(mean(one.mean_between_tasks(layer) for one in found), 5),
            "with_fisher": round(mean(mean(one.with_fisher[layer]) for one in found), 5),
            "with_fisher_ranks": round(
                mean(mean(one.with_fisher_ranks[layer]) for one in found), 5
            ),
        }
        for layer in found[0].between_tasks
    }


def _by_task(
    tasks: Sequence[str],
    records: Sequence[PaperRecord],
    final: Callable[[PaperRecord], Mapping[str, float]],
) -> dict[str, float]:
    return {task: round(mean(final(record)[task] for record in records), 5) for task in tasks}


def _mean_of(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return round(mean(numbers), 5) if numbers else None
