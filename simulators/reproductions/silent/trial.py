"""A run of a scenario: the stream learned told and silent, and the record of both.

Invariant: told and silent are the same samples in the same order, learned from the same first
weights; what differs is who says where a task ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from si_stream.brokers.interface import Envelope
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Message, Samples
from si_stream.settings import Settings
from simulators.replay import envelopes, messages
from simulators.reproductions import groups
from simulators.reproductions.announcing import announced
from simulators.reproductions.course import Course, Errors, places_behind
from simulators.reproductions.machine import commit, made_on, versions
from simulators.reproductions.recipe import Recipe
from simulators.reproductions.records import Part, Record
from simulators.reproductions.silent.catalogue import Trial
from simulators.reproductions.silent.matching import Detected, Matching, match
from simulators.scenarios import Scenario
from simulators.stretches import stretches, true_boundaries

CURVE_POINTS = 600
CLOSE_BEFORE, CLOSE_BEHIND = 256, 512  # samples of the errors around a change
CLOSE_PLACES = 5


class AlarmRecord(Part):
    """``learned``: samples when it was noticed, with those of its batch behind it."""

    sample: int
    cut: int
    evidence: float
    decision: str
    signal: str
    learned: int


class ComparedRecord(Part):
    """A task's first samples, held against the known tasks; ``returned`` was taken up again."""

    task: str
    sample: int
    returned: str | None
    nearest: str
    distance: float
    limit: float


class StretchRecord(Part):
    """Samples of one true task, and the learner's task and head that most of them were learned
    under, silent and told."""

    task: str
    first: int
    end: int
    silent_task: str
    silent_head: int
    told_head: int


class AccuracyRecord(Part):
    """Of one true task, on its whole test set, at the stream's end."""

    told: float
    silent: float


class Close(Part):
    """Errors around a place, from sample ``first`` on: a string of 0 and 1 for each life, and of
    those that the silent one took back.

    ``place`` is that of a change, or of a boundary that was detected where there is none.
    """

    place: int
    is_true: bool
    first: int
    told: str
    silent: str
    taken_back: str


class ErrorRecord(Part):
    """The share of errors in every ``bin_samples`` samples, and each error around some places."""

    bin_samples: int
    told: list[float]
    silent: list[float]
    places: list[Close]


class TrialRecord(Record):
    """A run. Places are counted in training samples; ``again`` are those learned twice.

    ``accuracy_with_rewind`` is of a learner that takes back, where ``accuracy`` is of one that does
    not; ``accuracy_told_late`` of one that was told each boundary one sample late.
    """

    samples: int
    true_boundaries: list[int]
    drift_samples: int
    alarms: list[AlarmRecord]
    compared: list[ComparedRecord]
    stretches: list[StretchRecord]
    accuracy: dict[str, AccuracyRecord]
    accuracy_with_rewind: dict[str, float] | None = None
    accuracy_told_late: dict[str, float] | None = None
    again: int
    errors: ErrorRecord | None = None

    @property
    def detected(self) -> list[Detected]:
        return detected_in(self.alarms)


def detected_in(alarms: Iterable[AlarmRecord]) -> list[Detected]:
    """The boundaries of the alarms that were taken."""
    return [Detected(one.cut, one.sample) for one in alarms if one.decision == "taken"]


def settings_of(trial: Trial, seed: int, device: str = "auto") -> Settings:
    """Of the silent learner.

    Raises:
        SettingsError: this version has no such setting.
    """
    return groups.settings_of(trial.learner, seed, device, f"scenario {trial.name}")


def decided_by(trial: Trial, seed: int, device: str = "auto") -> dict[str, Any]:
    """All that decides a run, as it stands in its record."""
    stream = trial.stream.model_copy(
        update={"replay": trial.stream.options(seed, trial.stream.replay.boundaries)}
    )
    learner = settings_of(trial, seed, device)
    return {
        "stream": stream.model_dump(mode="json"),
        "learner": groups.groups_of(learner),
        "rewind": trial.rewind,
        "told_late": trial.told_late,
    }


def defaults() -> dict[str, Any]:
    """Of what `decided_by` tells."""
    usual = Recipe(data="split-mnist").model_dump(mode="json")
    learner = groups.groups_of(Settings())
    return {"stream": usual, "learner": learner, "rewind": True, "told_late": False}


def run_trial(
    trial: Trial,
    seed: int,
    *,
    device: str = "auto",
    keep_errors: bool = False,
    progress: Callable[[float], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> TrialRecord:
    """Learn the stream told, and silent.

    Args:
        keep_errors: for a picture.
        progress: is told which share of the run is done.
        stop: asked after each batch.

    Raises:
        Stopped: as it was asked for.
        SIStreamError: data or settings are no good.
    """
    started, code = time.monotonic(), commit()
    settings = settings_of(trial, seed, device)
    undetecting = settings.model_copy(
        update={"detection": settings.detection.model_copy(update={"kind": "off"})}
    )
    scenario = trial.stream.scenario(seed)
    silence, telling = (trial.stream.options(seed, told) for told in ("silent", "announced"))
    counts = [one.count for one in stretches(scenario, silence)]
    lives, done = 2 + (not trial.rewind) + trial.told_late, 0

    def live(stream: Iterator[Envelope], learner: Settings) -> Course:
        nonlocal done

        def tell(learned: int) -> None:
            progress((done + learned / sum(counts)) / lives)

        course = Course(stream, learner, keep_errors=keep_errors, progress=tell, stop=stop)
        course.learn()
        done += 1
        return course

    told = live(envelopes(scenario, telling), undetecting)
    detecting = live(envelopes(scenario, silence), settings)
    changes, drift = true_boundaries(scenario, silence), silence.drift_samples

    def told_at(places: Sequence[int]) -> Course:
        return live(_enveloped(announced(messages(scenario, silence), places)), undetecting)

    silent = detecting if trial.rewind else told_at(places_behind(detecting.alarms))
    late = told_at([place + 1 for place in changes]) if trial.told_late else None

    bounds = list(pairwise(accumulate(counts, initial=0)))
    shown = [task.name for task in scenario.tasks]
    drawn = [
        StretchRecord(
            task=name,
            first=first,
            end=end,
            silent_task=silent.active_in(first, end).task,
            silent_head=silent.active_in(first, end).head,
            told_head=told.active_in(first, end).head,
        )
        for name, (first, end) in zip(shown, bounds, strict=True)
    ]
    alarms = [
        AlarmRecord(
            sample=alarm.sample,
            cut=alarm.cut,
            evidence=round(alarm.evidence, 3),
            decision=alarm.decision,
            signal=alarm.signal,
            learned=learned,
        )
        for alarm, learned in detecting.alarms
    ]
    found = match(changes, detected_in(alarms), sum(counts), drift_samples=drift)
    return TrialRecord(
        scenario=trial.name,
        seed=seed,
        settings=decided_by(trial, seed, device),
        versions=versions(),
        commit=code,
        **made_on(told.state),
        seconds=round(time.monotonic() - started, 1),
        samples=sum(counts),
        true_boundaries=changes,
        drift_samples=drift,
        alarms=alarms,
        compared=[ComparedRecord.model_validate(asdict(one)) for one in detecting.compared],
        stretches=drawn,
        accuracy=_accuracies(scenario, drawn, told, silent),
        accuracy_with_rewind=None if trial.rewind else _accuracies_of(scenario, bounds, detecting),
        accuracy_told_late=_accuracies_of(scenario, bounds, late) if late else None,
        again=detecting.again,
        errors=_errors(told, detecting, sum(counts), found, drift) if keep_errors else None,
    )


def _accuracies(
    scenario: Scenario, drawn: list[StretchRecord], told: Course, silent: Course
) -> dict[str, AccuracyRecord]:
    """By true task, with the heads of its last stretch."""
    last = {one.task: one for one in drawn}
    tests = {task.name: task.test for task in scenario.tasks}
    return {
        name: AccuracyRecord(
            told=told.accuracy(tests[name], one.told_head),
            silent=silent.accuracy(tests[name], one.silent_head),
        )
        for name, one in last.items()
    }


def _accuracies_of(
    scenario: Scenario, bounds: list[tuple[int, int]], course: Course
) -> dict[str, float]:
    last = {task.name: (task.test, *at) for task, at in zip(scenario.tasks, bounds, strict=True)}
    return {
        name: course.accuracy(test, course.active_in(first, end).head)
        for name, (test, first, end) in last.items()
    }


def _errors(told: Course, silent: Course, samples: int, found: Matching, drift: int) -> ErrorRecord:
    size = -(-samples // CURVE_POINTS)
    odd = [(place, True) for place in found.missed] + [(one.cut, False) for one in found.false]
    places = [*odd, *((one.true, True) for one in found.matches)][:CLOSE_PLACES]
    return ErrorRecord(
        bin_samples=size,
        told=_binned(told.wrong, size),
        silent=_binned(silent.wrong, size),
        places=[_close(told, silent, place, is_true, drift) for place, is_true in sorted(places)],
    )


def _binned(wrong: Errors, size: int) -> list[float]:
    starts = np.arange(0, len(wrong), size)
    sums = np.add.reduceat(wrong.astype(np.int64), starts)
    shares = sums / np.minimum(size, len(wrong) - starts)
    rounded: list[float] = shares.round(4).tolist()
    return rounded


def _close(told: Course, silent: Course, place: int, is_true: bool, drift_samples: int) -> Close:
    begin, end = max(0, place - CLOSE_BEFORE), place + CLOSE_BEHIND + drift_samples
    taken_back = next(
        (
            wrong[begin - first : end - first]
            for first, wrong in silent.taken_back
            if first <= begin and place < first + len(wrong)
        ),
        np.zeros(0, np.bool_),
    )
    return Close(
        place=place,
        is_true=is_true,
        first=begin,
        told=_bits(told.wrong[begin:end]),
        silent=_bits(silent.wrong[begin:end]),
        taken_back=_bits(taken_back),
    )


def _bits(wrong: Errors) -> str:
    return "".join("1" if one else "0" for one in wrong.tolist())


def _enveloped(stream: Iterator[Message]) -> Iterator[Envelope]:
    for index, message in enumerate(stream):
        event_id = f"{index:06d}" if isinstance(message, Samples) else None
        yield encode(message, source="/simulators", event_id=event_id)
