"""Records made by hand."""

from __future__ import annotations

from typing import Any

from simulators.reproductions.silent.catalogue import TRIALS
from simulators.reproductions.silent.trial import (
    AccuracyRecord,
    AlarmRecord,
    StretchRecord,
    TrialRecord,
    decided_by,
)


def alarm(cut: int, sample: int, decision: str = "taken") -> AlarmRecord:
    return AlarmRecord(
        cut=cut,
        sample=sample,
        evidence=9.0,
        decision=decision,
        signal="errors",
        learned=sample + 5,
    )


def stretch(task: str, first: int, end: int, silent_task: str) -> StretchRecord:
    head = int(silent_task.rpartition("-")[2])
    return StretchRecord(
        task=task, first=first, end=end, silent_task=silent_task, silent_head=head, told_head=head
    )


def record(seed: int = 0, **fields: Any) -> TrialRecord:
    """Two tasks, the change at 1,000, found at 1,003 with the alarm at 1,040."""
    given: dict[str, Any] = {
        "scenario": "split-digits",
        "settings": decided_by(TRIALS["split-digits"], seed),
        "versions": {"python": "3"},
        "commit": "abc",
        "device": "cpu",
        "threads": 1,
        "seconds": 2.0,
        "samples": 2000,
        "true_boundaries": [1000],
        "drift_samples": 0,
        "alarms": [alarm(1003, 1040)],
        "compared": [],
        "stretches": [stretch("a-1", 0, 1000, "task-1"), stretch("a-2", 1000, 2000, "task-2")],
        "accuracy": {
            "a-1": AccuracyRecord(told=0.9, silent=0.8),
            "a-2": AccuracyRecord(told=1.0, silent=0.98),
        },
        "again": 500,
    }
    return TrialRecord(seed=seed, **(given | fields))
