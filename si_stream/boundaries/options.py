"""What a person may choose about the end of a task; plain values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from si_stream.learning.options import Options


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
