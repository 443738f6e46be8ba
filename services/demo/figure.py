"""The picture of a demo: accuracy over the stream and accuracy matrices, SI beside its shadow."""

from __future__ import annotations

from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.demo.story import TRACKS, DemoStory, short_names
from simulators.reproductions.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
    PINK,
    SHADE,
    grid,
    styled,
)

COLOURS = (BLUE, ORANGE, GREEN, PINK, "#56B4E9", "#E69F00")  # the lines are also labelled
TOP = 101.5  # of the curves' axis in %, so that a line at 100 is seen whole
LEAST = 0.3  # darkest in a matrix: of two classes chance gets half right, and worse is possible


def draw(story: DemoStory, path: Path) -> None:
    """Write the picture as a PNG."""
    tracks = list(story.ends)
    names = short_names(list(story.samples_of))
    with styled():
        figure = Figure(figsize=(5.2 * len(tracks), 7.6), layout="constrained", facecolor="white")
        axes = figure.subplots(2, len(tracks), height_ratios=(1, 1.15), squeeze=False)
        for column, track in enumerate(tracks):
            draw_curves(axes[0, column], story, track, names)
            draw_matrix(axes[1, column], story, track, names)
        for row, label in enumerate(("holdout accuracy, %", "after task")):
            axes[row, 0].set_ylabel(label)
        title = f"SI Stream on {story.scenario}: {len(names)} tasks, one after the other"
        figure.suptitle(title, x=0.012, ha="left", fontsize=13)
        figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_curves(axes: Axes, story: DemoStory, track: str, names: list[str]) -> None:
    last = story.ends[track][-1]
    average = f"{100 * (last.average_accuracy or 0.0):.1f} %"
    axes.set_title(f"{TRACKS[track]}: {average} on average", loc="left", weight="bold", pad=22)
    starts = [*(first.samples for first in story.opened.values()), last.samples]
    for number, (first, then) in enumerate(pairwise(starts)):
        if number % 2 == 0:
            axes.axvspan(first, then, color=SHADE, lw=0)
        axes.text((first + then) / 2, TOP + 1, names[number], ha="center", color=FAINT)
    accuracies = [point.accuracy for curve in story.curves.values() for point in curve]
    floor = min(50.0, 10 * (100 * min(accuracies) // 10))
    ends = []
    for task, name, colour in zip(story.samples_of, names, cycle(COLOURS), strict=False):
        curve = story.curves[track, task]
        samples = [point.samples for point in curve]
        percents = [100 * point.accuracy for point in curve]
        axes.plot(samples, percents, color=colour, lw=1.8, solid_capstyle="round")
        axes.plot(samples[-1:], percents[-1:], "o", color=colour, ms=5, clip_on=False, zorder=3)
        ends.append((percents[-1], name, colour))
    label_ends(axes, ends, gap=(TOP - floor) / 16)
    axes.set_ylim(floor, TOP)
    axes.set_xlim(0, last.samples)
    axes.set_xlabel("samples learned")
    grid(axes)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")


def label_ends(axes: Axes, ends: list[tuple[float, str, str]], gap: float) -> None:
    """Each curve's name at its end, lower where it would lie on another."""
    height = TOP + gap / 2
    for end, name, colour in sorted(ends, reverse=True):
        height = min(end, height - gap)
        axes.annotate(
            name,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            weight="bold",
        )


def draw_matrix(axes: Axes, story: DemoStory, track: str, names: list[str]) -> None:
    """R[i, j]: rows are boundaries, columns tasks."""
    matrix = np.full((len(names), len(names)), np.nan)
    for row, end in enumerate(story.ends[track]):
        matrix[row, : len(end.row)] = [np.nan if cell is None else cell for cell in end.row]
    axes.imshow(matrix, cmap="cividis", vmin=LEAST, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(matrix):
        if not np.isnan(value):
            ink = "white" if value < (LEAST + 1) / 2 else "black"
            weight = "bold" if row == column else "normal"
            text = f"{100 * value:.1f}"
            axes.text(column, row, text, ha="center", va="center", color=ink, weight=weight)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("holdout accuracy on task, %")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
