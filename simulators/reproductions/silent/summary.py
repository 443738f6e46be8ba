"""The summary: what the runs of a scenario show together.

Invariant: made from the records alone; ratios are 0 to 1, and None is where there is nothing to
measure, such as the recall of no boundaries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from simulators.reproductions.silent.matching import Matching, match
from simulators.reproductions.silent.trial import StretchRecord, TrialRecord
from simulators.reproductions.spread import rounded, standard_error


def matched(record: TrialRecord) -> Matching:
    return match(
        record.true_boundaries,
        record.detected,
        record.samples,
        drift_samples=record.drift_samples,
    )


def average(record: TrialRecord) -> tuple[float, float]:
    """The mean accuracy of its tasks, told and silent."""
    return (
        mean(one.told for one in record.accuracy.values()),
        mean(one.silent for one in record.accuracy.values()),
    )


def summarised(title: str, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """Of one scenario, one record or more."""
    matchings = [matched(record) for record in records]
    matches = [one for matching in matchings for one in matching.matches]
    delays, cut_errors = [one.delay for one in matches], [one.cut_error for one in matches]
    samples = sum(record.samples for record in records)
    boundaries = sum(len(record.true_boundaries) for record in records)
    false_alarms = sum(len(matching.false) for matching in matchings)
    told, silent = zip(*(average(record) for record in records), strict=True)
    differences = [there - here for here, there in zip(told, silent, strict=True)]
    decisions = Counter(alarm.decision for record in records for alarm in record.alarms)
    summary: dict[str, Any] = {
        "title": title,
        "seeds": len(records),
        "samples": samples,
        "boundaries": boundaries,
        "recall": round(len(matches) / boundaries, 4) if boundaries else None,
        "false_alarms": false_alarms,
        "false_alarms_per_million_samples": round(false_alarms / samples * 1e6, 3),
        "delay_median_samples": median(delays) if delays else None,
        "delay_max_samples": max(delays, default=None),
        "cut_error_median_samples": median(cut_errors) if cut_errors else None,
        "cut_error_max_samples": max(cut_errors, default=None),
        "accuracy_silent": round(mean(silent), 5),
        "accuracy_told": round(mean(told), 5),
        "accuracy_difference": round(mean(differences), 5),
        "accuracy_difference_standard_error": rounded(standard_error(differences)),
        "detector": detector(records[0].settings),
        "alarms": dict(sorted(decisions.items())),
        "learned_again_samples": sum(record.again for record in records),
    }
    if len(records[0].accuracy) > 1:
        summary |= _old_tasks(records)
    if any(len(record.stretches) > len(record.accuracy) for record in records):
        summary |= _recurrence([record.stretches for record in records])
    if any(record.drift_samples for record in records):
        summary["found_within_drift"] = sum(
            one.delay < record.drift_samples
            for record, matching in zip(records, matchings, strict=True)
            for one in matching.matches
        )
    with_rewind = [
        mean(record.accuracy_with_rewind.values())
        for record in records
        if record.accuracy_with_rewind
    ]
    if with_rewind:
        summary["accuracy_with_rewind"] = round(mean(with_rewind), 5)
    return summary | _told_late(records)


def detector(settings: Mapping[str, Any]) -> str:
    """What alarms, and what it watches.

    >>> detector({"learner": {"detection": {"kind": "adwin", "signals": ["errors", "inputs"]}}})
    'adwin on errors and inputs'
    """
    detection = settings["learner"]["detection"]
    return f"{detection['kind']} on {' and '.join(detection['signals'])}"


def _told_late(records: Sequence[TrialRecord]) -> dict[str, float | None]:
    """What one sample's shift of the boundaries makes, to hold the difference against."""
    differences = [
        mean(record.accuracy_told_late.values()) - average(record)[0]
        for record in records
        if record.accuracy_told_late
    ]
    if not differences:
        return {}
    return {
        "accuracy_told_late_difference": round(mean(differences), 5),
        "accuracy_told_late_difference_standard_error": rounded(standard_error(differences)),
    }


def _old_tasks(records: Sequence[TrialRecord]) -> dict[str, float]:
    """The accuracy of all tasks but the one that was learned last."""
    old = [
        one
        for record in records
        for name, one in record.accuracy.items()
        if name != record.stretches[-1].task
    ]
    return {
        "old_task_accuracy_silent": round(mean(one.silent for one in old), 5),
        "old_task_accuracy_told": round(mean(one.told for one in old), 5),
    }


def _recurrence(runs: Sequence[Sequence[StretchRecord]]) -> dict[str, int | float | None]:
    """Of stretches whose true task had been there before, those learned under its old name; of new
    ones, those learned under a new name."""
    returned = reopened = new = opened = 0
    for stretches in runs:
        for number, stretch in enumerate(stretches):
            before = stretches[:number]
            own = {one.silent_task for one in before if one.task == stretch.task}
            if own:
                returned += 1
                reopened += stretch.silent_task in own
            else:
                new += 1
                opened += all(one.silent_task != stretch.silent_task for one in before)
    return {
        "returned": returned,
        "returned_matched": reopened,
        "matched": round(reopened / returned, 4) if returned else None,
        "new": new,
        "new_opened": opened,
    }
