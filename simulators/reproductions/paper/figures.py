"""The pictures: the paper's Fig. 3, 4, 5 and 6, of the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import JOINT, NONE, SCRATCH, SI, Benchmark
from simulators.reproductions.paper.importance import IMPORTANCE, Importance
from simulators.reproductions.paper.record import PaperRecord
from simulators.reproductions.paper.summary import label
from simulators.reproductions.reproduction import OVERVIEW
from simulators.reproductions.spread import standard_deviation, standard_error
from simulators.reproductions.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
    PINK,
    TEXT,
    grid,
    new_figure,
    save,
    styled,
)

# Okabe & Ito (2008), their other colours.
COLOURS = (BLUE, GREEN, PINK, "#E69F00", "#56B4E9", "#8C564B", "#5C3A9E")
COLOURS_OF = {NONE: ORANGE, JOINT: TEXT, SCRATCH: FAINT}
ZOOM = 0.85, 1.003  # accuracies of the upper panel of Fig. 4
LEGEND_INCHES = 2.8  # of a column
TRAINING: dict[str, Any] = {"marker": "D", "ls": "", "mfc": "white", "mec": TEXT, "ms": 5}

Runs = Sequence[PaperRecord]
Shown = Mapping[Arm, Runs]


def draw(
    benchmark: Benchmark,
    records: Mapping[str, Runs],
    directory: Path,
) -> None:
    """``summary.png``, of the arms that were tested on the test set, and ``importance.png``."""
    arms = {Arm.named(name, benchmark): runs for name, runs in records.items()}
    shown = {
        arm: runs for arm, runs in arms.items() if arm and not (arm.validation or arm.variation)
    }
    if not shown:
        return
    path = directory / f"{OVERVIEW}.png"
    with styled():
        match benchmark.figure:
            case "panels":
                draw_panels(benchmark, shown, path)
            case "curves":
                draw_curves(benchmark, shown, path)
            case "bars":
                draw_bars(benchmark, shown, path)
        looked_at = {
            arm: found
            for arm, runs in shown.items()
            if (found := [run.importance for run in runs if run.importance])
        }
        if looked_at:
            draw_importance(benchmark, looked_at, directory / f"{IMPORTANCE}.png")


def draw_panels(benchmark: Benchmark, shown: Shown, path: Path) -> None:
    """Fig. 3: the accuracy of each task while the next ones are learned, and the average."""
    tasks = max((runs[0].tasks for runs in shown.values()), key=len)
    figure = new_figure(2.1 * (len(tasks) + 1), 3.2)
    panels = figure.subplots(1, len(tasks) + 1, sharey=True)
    colours = colours_of(shown)
    for arm, runs in shown.items():
        style: dict[str, Any] = {"color": colours[arm], "label": label(arm, benchmark)}
        if not runs[0].is_sequence:
            level = np.mean([np.mean(list(run.final.values())) for run in runs])
            panels[-1].axhline(100 * level, ls=":", lw=1.3, **style)
            continue
        for panel, task in zip(panels, tasks, strict=False):
            if task in runs[0].tasks:
                first = runs[0].tasks.index(task)
                _curve(panel, [_of_task(run, task) for run in runs], first, **style)
        _curve(panels[-1], [run.curve for run in runs], **style)
    for panel, name in zip(panels, [*tasks, "average"], strict=True):
        panel.set_title(name, loc="left", weight="bold", fontsize=10)
        panel.set_xlim(0.6, len(tasks) + 0.4)
        panel.set_xticks(range(1, len(tasks) + 1))
        panel.set_xlabel("tasks learned")
        grid(panel)
    panels[0].set_ylabel("accuracy, test set, %")
    _legend(figure, panels[-1])
    figure.suptitle(f"{benchmark.title}: mean and standard error", x=0.012, ha="left")
    save(figure, path)


def draw_curves(benchmark: Benchmark, shown: Shown, path: Path) -> None:
    """Fig. 4: the average over the tasks seen, above its upper part once more. Dotted: the first
    task alone, and all tasks learned together."""
    figure = new_figure(7, 6.4)
    zoomed, whole = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
    colours = colours_of(shown)
    for panel in (zoomed, whole):
        for arm, runs in shown.items():
            style: dict[str, Any] = {"color": colours[arm], "label": label(arm, benchmark)}
            if runs[0].is_sequence:
                _curve(panel, [run.curve for run in runs], **style)
            else:
                level = np.mean([np.mean(list(run.final.values())) for run in runs])
                panel.axhline(100 * level, ls=":", lw=1.5, **style)
        if alone := [run.curve[0] for runs in shown.values() for run in runs if run.curve]:
            level = 100 * np.mean(alone)
            panel.axhline(level, ls=":", lw=1.2, color=FAINT, label="the first task alone")
        panel.set_ylabel("average accuracy, %")
        grid(panel)
    zoomed.set_ylim(100 * ZOOM[0], 100 * ZOOM[1])
    whole.set_ylim(0, 102)
    whole.set_xlabel("tasks learned")
    whole.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure, whole)
    figure.suptitle(f"{benchmark.title}: test set, over the tasks seen", x=0.012, ha="left")
    save(figure, path)


def draw_bars(benchmark: Benchmark, shown: Shown, path: Path) -> None:
    """Fig. 6: each task's accuracy at the end, with its standard deviation; a diamond is that on
    the training samples."""
    tasks = max((runs[0].tasks for runs in shown.values()), key=len)
    figure = new_figure(1.6 * len(tasks) + 1.4, 4.2)
    axes = figure.subplots()
    colours, width = colours_of(shown), 0.8 / len(shown)
    for number, (arm, runs) in enumerate(shown.items()):
        own = runs[0].tasks
        place = np.arange(len(own)) + (number - (len(shown) - 1) / 2) * width
        values = [[run.final[task] for run in runs] for task in own]
        train = [100 * np.mean([run.final_train[task] for run in runs]) for task in own]
        axes.bar(
            place,
            [100 * np.mean(each) for each in values],
            width * 0.92,
            yerr=[100 * (standard_deviation(each) or 0.0) for each in values],
            color=colours[arm],
            label=label(arm, benchmark),
            error_kw={"lw": 1, "ecolor": TEXT},
        )
        axes.plot(place, train, **TRAINING, label="" if number else "training samples")
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_ylim(0, 102)
    axes.set_ylabel("accuracy after the last task, %")
    grid(axes)
    _legend(figure, axes)
    figure.suptitle(f"{benchmark.title}: test set, mean and standard deviation", x=0.012, ha="left")
    save(figure, path)


def draw_importance(
    benchmark: Benchmark, found: Mapping[Arm, Sequence[Importance]], path: Path
) -> None:
    """Fig. 5: the correlation of ω between tasks in each layer, the mean over seeds."""
    layers = list(dict.fromkeys(name for runs in found.values() for name in runs[0].between_tasks))
    figure = new_figure(2.2 * len(layers) + 1.6, 2.2 * len(found) + 0.8)
    colours = ScalarMappable(Normalize(-1, 1), "RdBu_r")
    panels = figure.subplots(len(found), len(layers), squeeze=False)
    for row, (arm, runs) in zip(panels, found.items(), strict=True):
        row[0].set_ylabel(label(arm, benchmark))
        for axes, layer in zip(row, layers, strict=True):
            matrix = np.mean([run.between_tasks[layer] for run in runs], axis=0)
            axes.imshow(matrix, cmap=colours.cmap, norm=colours.norm)
            between = np.mean([run.mean_between_tasks(layer) for run in runs])
            axes.set_title(f"{layer}: {between:.3f}", fontsize=10)
            axes.set_xticks([])
            axes.set_yticks([])
    figure.colorbar(colours, ax=panels, shrink=0.6)
    title = "Correlation of ω between tasks, and the mean over pairs"
    figure.suptitle(title, x=0.012, ha="left", fontsize=10)
    save(figure, path)


def colours_of(shown: Shown) -> dict[Arm, str]:
    """Synaptic Intelligence is blue, none red."""
    free = cycle(COLOURS)
    first = sorted(shown, key=lambda arm: arm.method != SI)
    return {arm: COLOURS_OF.get(arm.method) or next(free) for arm in first}


def _of_task(run: PaperRecord, task: str) -> list[float]:
    """Its accuracy at each boundary from the one on that ends it."""
    return [row.accuracy[task] for row in run.rows if task in row.accuracy]


def _curve(axes: Axes, runs: Sequence[Sequence[float]], first: int = 0, **style: Any) -> None:
    """With standard errors; ``first`` boundaries come before it."""
    values: npt.NDArray[np.float64] = 100 * np.array(runs)
    errors = [standard_error(each) or 0.0 for each in values.T.tolist()]
    places = np.arange(1, values.shape[1] + 1) + first
    axes.errorbar(places, values.mean(0), errors, marker="o", ms=4, lw=1.5, capsize=2, **style)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = int(figure.get_figwidth() / LEGEND_INCHES)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
