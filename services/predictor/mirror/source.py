"""What a predictor follows, and how it is with that."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, Field


class Source(BaseModel):
    """Of `GET /source`."""

    kind: Literal["directory", "url"] = Field(
        description="a directory on this machine, or a learner on another"
    )
    address: str | None = Field(description="the learner's, where it is followed by URL")
    reachable: bool = Field(
        description="whether it answered when it was last asked; of a directory, always"
    )
    problem: str | None = Field(description="why what it has is not taken, and what to do")
    answered_seconds: float | None = Field(
        description="Unix time of its last answer; null of a directory, and before the first"
    )


def of_directory() -> Source:
    return Source(
        kind="directory", address=None, reachable=True, problem=None, answered_seconds=None
    )


def unix_time(monotonic_seconds: float | None) -> float | None:
    """Of what was noted by the clock that never goes back."""
    if monotonic_seconds is None:
        return None
    return time.time() - (time.monotonic() - monotonic_seconds)
