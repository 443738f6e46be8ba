"""The table of a summary beside what others have reported, in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import mean
from typing import Any

from simulators.reproductions.paper.catalogue import SI, Benchmark
from simulators.reproductions.paper.overview import chosen
from simulators.reproductions.paper.published import PUBLISHED, Published
from simulators.reproductions.paper.variations import VARIATIONS
from simulators.reproductions.spread import standard_error

HEAD = (
    "| | c | epochs | tasks | seeds | average, % | forgetting, points | training, % | source |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|---|\n"
)
HERE = "here"


def table(benchmark: Benchmark, summary: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each arm and each published figure; then their tasks one by one."""
    picked = chosen(summary)
    usual = [arm for arm in summary.values() if not arm["variation"]]
    tested = [arm for arm in usual if arm["tested_on"] == "test"]
    held_back = [arm for arm in usual if arm["tested_on"] == "validation"]
    published = PUBLISHED.get(benchmark.name, ())
    lines = [_line(arm, picked) for arm in (*tested, *held_back)]
    text = HEAD + "".join(lines + [_published(one) for one in published])
    parts = _parts(benchmark, tested, published)
    return text + parts + _variations(summary.values()) + _importance(tested)


def _line(arm: Mapping[str, Any], picked: Sequence[Mapping[str, Any]]) -> str:
    source = _source(arm) + (", c chosen on training samples held back" if arm in picked else "")
    error = arm["average_accuracy_standard_error"]
    cells = (
        _method(arm["method"]),
        _strength(arm["strength"]),
        str(arm["epochs"]),
        str(arm["tasks"]),
        str(arm["seeds"]),
        f"{100 * arm['average_accuracy']:.2f}"
        + (f" ± {100 * error:.2f}" if error is not None else ""),
        _forgetting(arm),
        f"{100 * arm['average_accuracy_training']:.2f}",
        source,
    )
    return f"| {' | '.join(cells)} |\n"


def _source(arm: Mapping[str, Any]) -> str:
    return (
        HERE
        + (", reduced" if arm["reduced"] else "")
        + (", on training samples held back" if arm["tested_on"] == "validation" else "")
    )


def _published(one: Published) -> str:
    spread = f" (SD {one.spread:.2f})" if one.spread is not None else ""
    forgetting = "–" if one.forgetting is None else f"{one.forgetting:.2f}"
    cells = (_method(one.method), _strength(one.strength), "", "", "")
    average = f"{one.average}{spread}"
    return f"| {' | '.join([*cells, average, forgetting, '–', one.source])} |\n"


def _parts(
    benchmark: Benchmark, tested: Sequence[Mapping[str, Any]], published: Sequence[Published]
) -> str:
    """What the paper's figure shows: tasks at the end, or averages after each."""
    bars = benchmark.figure == "bars"
    what = "accuracy at the end, %" if bars else "average after so many tasks, %"
    rows: list[tuple[str, Sequence[float], str]] = [
        (
            arm["title"],
            [
                100 * value
                for value in (
                    arm["accuracy"].values() if bars else arm["average_accuracy_after_each_task"]
                )
            ],
            _source(arm),
        )
        for arm in tested
    ]
    rows += [
        (", ".join(filter(None, (_method(one.method), _told(one.strength)))), one.parts, one.source)
        for one in published
    ]
    rows = [row for row in rows if row[1]]
    if not rows:
        return ""
    width = max(benchmark.tasks, *(len(values) for _, values, _ in rows))
    lines = [
        f"| {' | '.join([name, *_cells(values, width), source])} |\n"
        for name, values, source in rows
    ]
    names = [f"T{n + 1}" if bars else str(n + 1) for n in range(width)]
    head = f"| {' | '.join([what, *names, 'source'])} |\n|---|{'--:|' * width}---|\n"
    return "\n" + head + "".join(lines)


def _variations(arms: Collection[Mapping[str, Any]]) -> str:
    """What each is worth: the mean difference, over its seeds, to the same arm without it."""
    usual = {_kind(arm): arm["average_accuracy_by_seed"] for arm in arms if not arm["variation"]}
    varied = sorted(
        (arm for arm in arms if arm["variation"]), key=lambda arm: arm["tested_on"] == "validation"
    )
    lines = [_variation(arm, usual.get(_kind(arm), {})) for arm in varied]
    head = (
        "\n| one detail otherwise | c | epochs | tasks | seeds | average, % | difference, points | "
        "forgetting, points | source |\n|---|--:|--:|--:|--:|--:|--:|--:|---|\n"
    )
    return head + "".join(lines) if lines else ""


def _variation(arm: Mapping[str, Any], usual: Mapping[str, float]) -> str:
    """``usual``: averages by seed without it."""
    cells = (
        f"{_method(arm['method'])}: {VARIATIONS[arm['variation']].text}",
        _strength(arm["strength"]),
        str(arm["epochs"]),
        str(arm["tasks"]),
        str(arm["seeds"]),
        f"{100 * arm['average_accuracy']:.2f}",
        _difference(arm["average_accuracy_by_seed"], usual),
        _forgetting(arm),
        _source(arm),
    )
    return f"| {' | '.join(cells)} |\n"


def _difference(here: Mapping[str, float], usual: Mapping[str, float]) -> str:
    """A dash where the usual has not been run with each of the seeds."""
    if not here.keys() <= usual.keys():
        return "–"
    apart = [100 * (here[seed] - usual[seed]) for seed in here]
    error = standard_error(apart)
    return f"{mean(apart):+.2f}".replace("-", "−") + (
        f" ± {error:.2f}" if error is not None else ""
    )


def _forgetting(arm: Mapping[str, Any]) -> str:
    return "–" if arm["forgetting"] is None else f"{100 * arm['forgetting']:.2f}".replace("-", "−")


def _kind(arm: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("method", "strength", "tested_on", "epochs", "tasks", "samples_per_task")
    return tuple(arm[name] for name in names)


def _importance(tested: Sequence[Mapping[str, Any]]) -> str:
    """Of the arms in which it was looked at."""
    lines = [
        f"| {arm['title']} | {layer} | {one['between_tasks']:.3f} | {one['with_fisher']:.2f} "
        f"| {one['with_fisher_ranks']:.2f} |\n"
        for arm in tested
        for layer, one in (arm["importance"] or {}).items()
    ]
    head = (
        "\n| importance | layer | ω between two tasks | with the Fisher information | their ranks "
        "|\n|---|---|--:|--:|--:|\n"
    )
    return (head + "".join(lines)).replace("-0.", "−0.") if lines else ""


def _cells(values: Sequence[float], count: int) -> list[str]:
    return [*(f"{value:.1f}" for value in values), *[""] * (count - len(values))]


def _method(name: str) -> str:
    return "SI" if name == SI else name


def _strength(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _told(strength: float | None) -> str:
    return "" if strength is None else f"c = {strength:g}"
