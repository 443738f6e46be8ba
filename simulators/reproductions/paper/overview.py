"""The overview: one figure for each method and benchmark, in ``summary.json``.

Invariant: made from the summaries beside it, which are made from the records; of a method's arms it
tells the one that is nearest to what the authors ran, never the one that came out best on the test
set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from si_stream.errors import DataError
from simulators.reproductions.paper.catalogue import BENCHMARKS, SI, Benchmark
from simulators.reproductions.records import write_json

FIGURES = (
    "average_accuracy",
    "average_accuracy_standard_error",
    "forgetting",
    "backward_transfer",
    "strength",
    "seeds",
    "epochs",
    "tasks",
    "samples_per_task",
    "reduced",
    "device",
)
FILE = "summary.json"


def write_overview(directory: Path) -> Path:
    """Of the benchmarks that have a summary in the directory.

    Raises:
        DataError: one of them is damaged, or was made by another version.
    """
    path = directory / FILE
    there = {name: directory / f"{name}.json" for name in BENCHMARKS}
    found = {name: _read(BENCHMARKS[name], file) for name, file in there.items() if file.exists()}
    write_json(path, found)
    return path


def _read(benchmark: Benchmark, file: Path) -> dict[str, Any]:
    try:
        return overview(benchmark, json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} is damaged or of another version, so there is no new {FILE}: delete it, or "
            f"run si-stream reproduce {benchmark.name}, which makes it anew of its records"
        ) from error


def overview(benchmark: Benchmark, summary: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """By method, Synaptic Intelligence as ``si``; ``si-chosen`` is at the strength that was chosen
    on training samples held back, where one was."""
    shown: dict[str, Any] = {}
    tested = [
        arm for arm in summary.values() if arm["tested_on"] == "test" and not arm["variation"]
    ]
    for method in dict.fromkeys(arm["method"] for arm in tested):
        own = [arm for arm in tested if arm["method"] == method]
        shown["si" if method == SI else method] = _figures(_nearest(benchmark, own))
    for method in shown.copy():
        own = [
            arm
            for arm in chosen(summary)
            if arm["method"] == (SI if method == "si" else method) and not arm["variation"]
        ]
        if own:
            shown[f"{method}-chosen"] = _figures(_nearest(benchmark, own))
    return shown


def chosen(summary: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The arms at the strength that came out best on the samples held back, of two or more that the
    same method was run with as long, over the seeds that they have in common; of two equals the
    weaker."""
    tried: dict[Any, list[Mapping[str, Any]]] = {}
    for arm in summary.values():
        if arm["tested_on"] == "validation":
            tried.setdefault(_kind(arm), []).append(arm)
    best = {}
    for kind, rivals in tried.items():
        by_seed = {arm["strength"]: arm["average_accuracy_by_seed"] for arm in rivals}
        seeds = set.intersection(*map(set, by_seed.values()))
        if len(rivals) > 1 and seeds:
            means = {c: mean(one[seed] for seed in seeds) for c, one in by_seed.items()}
            best[kind] = max(means, key=lambda c: (means[c], -c))
    return [
        arm
        for arm in summary.values()
        if arm["tested_on"] == "test" and _kind(arm) in best and arm["strength"] == best[_kind(arm)]
    ]


def _kind(arm: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(
        arm[name] for name in ("method", "variation", "epochs", "tasks", "samples_per_task")
    )


def _nearest(benchmark: Benchmark, arms: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Not reduced if there is such a one; as long as theirs, or nearly; at the authors' strength if
    there is, the first of theirs before the others."""
    theirs = benchmark.strengths

    def distance(arm: Mapping[str, Any]) -> tuple[Any, ...]:
        strength = arm["strength"]
        rank = theirs.index(strength) if strength in theirs else len(theirs)
        samples = arm["samples_per_task"] or float("inf")
        apart = abs(arm["tasks"] - benchmark.tasks), abs(arm["epochs"] - benchmark.epochs)
        return arm["reduced"], *apart, -samples, rank, -arm["seeds"], strength or 0.0

    return min(arms, key=distance)


def _figures(arm: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arm[name] for name in FIGURES}
