"""The pictures: of each scenario its errors told and silent, and one of all scenarios together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from simulators.reproductions.reproduction import OVERVIEW
from simulators.reproductions.silent.matching import Detected
from simulators.reproductions.silent.summary import average, matched
from simulators.reproductions.silent.trial import Close, ErrorRecord, StretchRecord, TrialRecord
from simulators.reproductions.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
    PINK,
    SHADE,
    TEXT,
    grid,
    new_figure,
    save,
    styled,
)

MEAN_SAMPLES = 32  # of the running mean around a change
NAMES_AT_MOST = 6  # of tasks that fit beside each other


def draw(
    records: Mapping[str, Sequence[TrialRecord]], summary: Mapping[str, Any], directory: Path
) -> None:
    """``SCENARIO.png`` where a record has errors, and ``summary.png``."""
    for name, runs in records.items():
        shown = next((run for run in runs if run.errors is not None), None)
        if shown is not None:
            draw_scenario(shown, summary[name]["title"], directory / f"{name}.png")
    if records:
        draw_summary(records, directory / f"{OVERVIEW}.png")


def draw_scenario(record: TrialRecord, title: str, path: Path) -> None:
    """Above the errors of the whole stream, told and silent; below those around its changes."""
    errors = record.errors
    assert errors is not None
    with styled():
        rows = 2 if errors.places else 1
        figure = new_figure(11, 3.3 * rows + 0.4)
        parts = figure.subfigures(rows, 1, squeeze=False)[:, 0]
        whole = parts[0].subplots(1, 2, sharey=True)
        told, silent = (f"{100 * accuracy:.2f} %" for accuracy in average(record))
        _draw_whole(whole[0], record, errors.told, f"told: {told} on average")
        _draw_whole(whole[1], record, errors.silent, f"silent: {silent} on average")
        _mark_detected(whole[1], record)
        whole[0].set_ylabel("errors, %")
        if errors.places:
            around = parts[1].subplots(1, len(errors.places), sharey=True, squeeze=False)[0]
            found = {one.true: one.detected for one in matched(record).matches}
            found |= {one.cut: one for one in matched(record).false}
            for axes, close in zip(around, errors.places, strict=True):
                _draw_close(axes, close, found.get(close.place), record.drift_samples)
            around[0].set_ylabel(f"errors, %\n(mean of {MEAN_SAMPLES})")
        figure.suptitle(f"{title}: seed {record.seed}", x=0.012, ha="left", fontsize=13)
        figure.legend(
            handles=_legend(record, errors), loc="outside lower center", ncols=6, frameon=False
        )
        save(figure, path)


def _draw_whole(axes: Axes, record: TrialRecord, shares: Sequence[float], title: str) -> None:
    errors = record.errors
    assert errors is not None
    top = 100 * max(*errors.told, *errors.silent) * 1.12
    _shade(axes, record.stretches, top)
    begins = np.arange(len(shares)) * errors.bin_samples
    axes.plot(begins + errors.bin_samples / 2, 100 * np.array(shares), color=BLUE, lw=1.1)
    for place in record.true_boundaries:
        axes.axvline(place, color=TEXT, lw=0.9, ls=(0, (2, 2)))
    axes.set_title(title, loc="left", weight="bold", fontsize=10.5, pad=10)
    axes.set_xlim(0, record.samples)
    axes.set_ylim(0, top)
    axes.set_xlabel("samples")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    grid(axes)


def _shade(axes: Axes, stretches: Sequence[StretchRecord], top: float) -> None:
    """Every other stretch, and what they are called where there is room."""
    names = _short([stretch.task for stretch in stretches])
    for number, (stretch, name) in enumerate(zip(stretches, names, strict=True)):
        if number % 2 == 0:
            axes.axvspan(stretch.first, stretch.end, color=SHADE, lw=0, zorder=0)
        middle = (stretch.first + stretch.end) / 2
        axes.text(middle, top * 0.985, name, ha="center", va="top", color=FAINT, fontsize=8.5)


def _short(names: Sequence[str]) -> list[str]:
    """Without what all begin with, and as letters where there are many."""
    kinds = list(dict.fromkeys(names))
    if len(names) > NAMES_AT_MOST:
        return [chr(ord("A") + kinds.index(name) % 26) for name in names]
    if len(kinds) == 1:
        return ["" for _ in names]
    heads = {name.partition("-")[0] for name in kinds}
    return [name.partition("-")[2] if len(heads) == 1 else name for name in names]


def _mark_detected(axes: Axes, record: TrialRecord) -> None:
    top = axes.get_ylim()[1]
    found = matched(record)
    false = set(found.false)
    for place in found.missed:
        axes.plot([place], [top], "v", mec=ORANGE, mfc="white", ms=8, clip_on=False, zorder=4)
    for one in record.detected:
        colour = PINK if one in false else GREEN
        axes.plot([one.cut], [top], "v", color=colour, ms=8, clip_on=False, zorder=4)
    for alarm in record.alarms:
        if alarm.decision != "taken":
            axes.plot([alarm.sample], [top], "x", color=FAINT, ms=6, clip_on=False, zorder=4)


def _draw_close(axes: Axes, close: Close, found: Detected | None, drift_samples: int) -> None:
    place = close.place
    if drift_samples and close.is_true:
        axes.axvspan(0, drift_samples, color=SHADE, lw=0, zorder=0)
    for bits, colour, width in (
        (close.told, FAINT, 1.0),
        (close.silent, BLUE, 1.4),
        (close.taken_back, ORANGE, 1.4),
    ):
        shares = 100 * _running_mean(bits)
        if found and bits is close.taken_back:  # behind the alarm only the rest of its batch
            shares = shares[: found.alarm + 1 - close.first]
        axes.plot(close.first - place + np.arange(len(shares)), shares, color=colour, lw=width)
    if close.is_true:
        axes.axvline(0, color=TEXT, lw=0.9, ls=(0, (2, 2)))
    if found:
        axes.axvline(found.cut - place, color=GREEN if close.is_true else PINK, lw=1.2)
        axes.axvline(found.alarm - place, color=ORANGE, lw=1.2, ls=(0, (4, 1.5)))
        title = f"alarm {found.alarm - place:+,}, cut {found.cut - place:+,}".replace("-", "−")
        title = title if close.is_true else "false alarm"
    else:
        title = "missed"
    axes.set_title(title, loc="left", fontsize=9.5)
    axes.set_xlim(close.first - place, close.first - place + len(close.silent))
    axes.set_ylim(0, 100)
    axes.set_xlabel(f"from sample {place:,}")
    axes.locator_params(axis="x", nbins=4)
    grid(axes)


def _running_mean(bits: str) -> npt.NDArray[np.float64]:
    """Of each error and those before it."""
    wrong = np.frombuffer(bits.encode(), np.uint8) == ord("1")
    sums = np.concatenate(([0], np.cumsum(wrong)))
    ends = np.arange(1, len(sums))
    begins = np.maximum(ends - MEAN_SAMPLES, 0)
    means: npt.NDArray[np.float64] = (sums[ends] - sums[begins]) / np.maximum(ends - begins, 1)
    return means


def _legend(record: TrialRecord, errors: ErrorRecord) -> list[Line2D]:
    handles = [Line2D([], [], color=BLUE, lw=1.4, label="errors before training")]
    if record.true_boundaries:
        dashed = Line2D([], [], color=TEXT, lw=0.9, ls=(0, (2, 2)), label="true change")
        cut = Line2D([], [], color=GREEN, lw=1.2, marker="v", ms=7, label="detected: cut")
        handles += [dashed, cut]
    if errors.places:
        handles += [
            Line2D([], [], color=ORANGE, lw=1.4, label="taken back, up to the alarm"),
            Line2D([], [], color=FAINT, lw=1.0, label="told"),
        ]
    if any(alarm.decision != "taken" for alarm in record.alarms):
        style = {"marker": "x", "ls": "", "color": FAINT, "ms": 6}
        handles.append(Line2D([], [], label="alarm that was not taken", **style))  # type: ignore[arg-type]
    found = matched(record)
    if found.missed:
        missed = {"marker": "v", "ls": "", "mec": ORANGE, "mfc": "white", "ms": 7}
        handles.append(Line2D([], [], label="missed", **missed))  # type: ignore[arg-type]
    if found.false:
        false = {"marker": "v", "ls": "", "color": PINK, "ms": 7}
        handles.append(Line2D([], [], label="false alarm", **false))  # type: ignore[arg-type]
    return handles


def draw_summary(records: Mapping[str, Sequence[TrialRecord]], path: Path) -> None:
    """A row for each scenario: delays, errors of the cut, and what silence costs in accuracy."""
    names = list(records)
    heights = {name: len(names) - 1 - number for number, name in enumerate(names)}
    with styled():
        figure = new_figure(11, 1.6 + 0.42 * len(names))
        delay, cut, accuracy = figure.subplots(1, 3, sharey=True)
        for name, runs in records.items():
            matches = [one for run in runs for one in matched(run).matches]
            _scatter(delay, [one.delay for one in matches], heights[name])
            _scatter(cut, [one.cut_error for one in matches], heights[name])
            _pairs(accuracy, runs, heights[name])
        delay.set_title("from change to alarm, samples", loc="left", weight="bold", fontsize=10.5)
        cut.set_title("error of the cut, samples", loc="left", weight="bold", fontsize=10.5)
        accuracy.set_title("silent less told, points", loc="left", weight="bold", fontsize=10.5)
        accuracy.axvline(0, color=TEXT, lw=0.9)
        accuracy.locator_params(axis="x", nbins=5)
        accuracy.text(1.04, 1.02, "told, silent, %", transform=accuracy.transAxes, color=FAINT)
        _scale(delay, linear_up_to=20, left=0)
        _scale(cut, linear_up_to=2, left=-0.3)
        delay.set_yticks(list(heights.values()), list(heights))
        delay.set_ylim(-0.7, len(names) - 0.3)
        for axes in (delay, cut, accuracy):
            axes.tick_params(axis="y", length=0)
            for lower, upper in pairwise(range(len(names) + 1)):
                if lower % 2 == 0:
                    axes.axhspan(lower - 0.5, upper - 0.5, color=SHADE, lw=0, zorder=0)
            grid(axes, "x")
        figure.legend(
            handles=[
                Line2D([], [], marker="o", ls="", color=BLUE, alpha=0.5, label="a change, a seed"),
                Line2D([], [], marker="|", ls="", color=TEXT, ms=12, mew=2, label="median"),
                Line2D([], [], marker="d", ls="", color=ORANGE, ms=7, label="mean"),
            ],
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
        save(figure, path)


def _scale(axes: Axes, linear_up_to: float, left: float) -> None:
    """Logarithmic, but from 0 on."""
    right = max(1.15 * axes.get_xlim()[1], 2 * linear_up_to)
    axes.set_xscale("symlog", linthresh=linear_up_to)
    powers = [power for power in (1, 10, 100, 1000) if linear_up_to < power < right]
    axes.set_xticks([0, linear_up_to, *powers], minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.set_xlim(left, right)


def _scatter(axes: Axes, values: Sequence[int], height: float) -> None:
    """Each value as a dot, a little apart so that equal ones are seen, and the median."""
    if not values:
        return
    spread = (np.arange(len(values)) * 0.618 % 1 - 0.5) * 0.5
    axes.plot(values, height + spread, "o", color=BLUE, alpha=0.5, ms=4, mew=0, clip_on=False)
    axes.plot([float(np.median(values))], [height], "|", color=TEXT, ms=15, mew=2, zorder=4)


def _pairs(axes: Axes, runs: Sequence[TrialRecord], height: float) -> None:
    """Silent less told of each seed, their mean with its standard error, and both accuracies."""
    told, silent = (100 * np.array(side) for side in zip(*map(average, runs), strict=True))
    differences = silent - told
    spread = (np.arange(len(runs)) * 0.618 % 1 - 0.5) * 0.5
    axes.plot(differences, height + spread, "o", color=BLUE, alpha=0.5, ms=4, mew=0)
    error = differences.std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else 0.0
    axes.errorbar([differences.mean()], [height], xerr=[error], fmt="d", color=ORANGE, ms=7)
    axes.annotate(
        f"{told.mean():.2f}, {silent.mean():.2f}",
        (1.04, height),
        xycoords=("axes fraction", "data"),
        va="center",
    )
