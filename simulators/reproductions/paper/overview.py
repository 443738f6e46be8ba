"""The overview: one figure for each method and benchmark, in ``summary.json``.

Invariant: made from the summaries beside it, which are made from the records; of a method's arms it
tells the one that is nearest to what the authors ran, never the one that came out best on the test
set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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
    """Of the benchmarks that have a summary in the directory."""
    path = directory / FILE
    there = {name: directory / f"{name}.json" for name in BENCHMARKS}
    write_json(
        path,
        {
            name: overview(BENCHMARKS[name], json.loads(file.read_text(encoding="utf-8")))
            for name, file in there.items()
            if file.exists()
        },
    )
    return path


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
    """The arms at the strength that came out best on the samples held back, of the runs of the same
    method that were as long, over as many seeds as any; of two equals the weaker."""
    tried: dict[Any, list[Mapping[str, Any]]] = {}
    for arm in summary.values():
        if arm["tested_on"] == "validation":
            tried.setdefault(_kind(arm), []).append(arm)
    best = {}
    for kind, rivals in tried.items():
        seeds = max(arm["seeds"] for arm in rivals)  # fewer: the choice was broken off there
        whole = [arm for arm in rivals if arm["seeds"] == seeds]
        winner = max(whole, key=lambda arm: (arm["average_accuracy"], -arm["strength"]))
        best[kind] = winner["strength"]
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
