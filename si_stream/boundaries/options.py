"""What a person may choose about the end of a task; plain values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from si_stream.learning.options import Options

DetectorKind = Literal["adwin", "page-hinkley", "hddm", "kswin"]
SignalName = Literal["errors", "losses", "inputs"]


class BoundaryOptions(Options):
    """How the learner knows that a task has ended."""

    mode: Literal["announced", "task-name"] = Field(
        "announced",
        description="announced: a boundary message ends a task, and a sample that names another "
        "task is rejected, since a sender's slip must not consolidate; task-name: the first "
        "sample that names another task is the boundary",
    )
    max_tasks: int = Field(
        100,
        ge=1,
        description="samples of a task beyond these are rejected: each task costs a head, a "
        "holdout set and a row of the accuracy matrix for ever, so a sender's typing errors "
        "must not open tasks without end",
    )
    every_samples: int | None = Field(
        None,
        ge=1,
        description="also ends each task after so many of its samples; for streams that drift all "
        "the time, without places where they change. Where max_tasks are known and nobody names "
        "the next one, the last goes on",
    )


class DetectionOptions(Options):
    """Boundaries that nobody announces: found in the errors of the predictions before training."""

    kind: DetectorKind | Literal["off"] = Field(
        "off",
        description="what watches the errors. adwin needs no tuning; page-hinkley, hddm and kswin "
        "(0.7 ms a sample) are for comparison; off: a change that nobody announces is learned as "
        "the same task",
    )
    signals: tuple[SignalName, ...] = Field(
        ("errors", "inputs"),
        min_length=1,
        description="what is watched for a rise: errors of the predictions before training; inputs "
        "that look unusual, for worlds that change without being predicted worse; losses are for "
        "comparison",
    )
    window_samples: int = Field(
        2048,
        ge=64,
        description="a change is looked for among the last so many errors. With 20 % of wrong "
        "labels the latest alarm came 800 samples after the change, and fewer than 1,000 errors "
        "before it place it worse",
    )
    min_evidence_nats: float = Field(
        8.0,
        ge=0,
        description="an alarm whose cut is less likely is recorded and not taken. Of those "
        "measured the false ones have up to 7.7, and the true ones 11.2 or more",
    )
    min_task_samples: int = Field(
        512,
        ge=1,
        description="an alarm that would end a task shorter than this is recorded and not taken, "
        "so that a drift that goes on for long does not end one task after another",
    )
    told_within_samples: int = Field(
        512,
        ge=0,
        description="a boundary told so close to a detected one is the same, and the told place "
        "holds; no more than min_task_samples is needed, as no shorter task is detected",
    )
    max_boundaries: int = Field(
        20,
        ge=1,
        description="detected boundaries within cap_samples; alarms beyond are recorded and not "
        "taken, since each boundary stiffens the weights for good",
    )
    returning: bool = Field(
        True,
        description="take a known task up again where the first samples behind a boundary look "
        "like its own, and nobody names the task; else each visit opens another head",
    )
    cap_samples: int = Field(100_000, ge=1, description="samples that max_boundaries is counted in")
