"""What a person may choose about checkpoints and snapshots; plain values."""

from __future__ import annotations

from pydantic import Field

from si_stream.learning.options import Options


class CheckpointOptions(Options):
    """Everything that is needed to go on learning after a stop or a crash."""

    interval_seconds: float = Field(
        60,
        gt=0,
        allow_inf_nan=False,
        description="between checkpoints, besides those at boundaries: as much work as a crash "
        "repeats",
    )
    keep: int = Field(
        3,
        ge=1,
        description="newest checkpoints; more than 1, so that a damaged one has a forerunner",
    )
    keep_at_boundaries: int = Field(
        5,
        ge=0,
        description="and, of those before, the newest that were written at a boundary, one of "
        "each: older places that an operator can roll back to",
    )


class SnapshotOptions(Options):
    """What a predictor needs to serve."""

    interval_seconds: float = Field(
        5,
        gt=0,
        allow_inf_nan=False,
        description="between snapshots, besides those at boundaries: how old the weights that "
        "answer may be",
    )
    keep: int = Field(
        3, ge=1, description="newest snapshots; a predictor may still be reading the one before"
    )
