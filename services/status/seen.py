"""What is seen of a service from outside: its learner, its predictor, and what the model knows.

Invariant: nothing but a look; a service does not notice it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from services.learner_status import LearnerStatus


class SeenLearner(BaseModel):
    place: str
    """The directory or the address at which it was looked for."""
    status: LearnerStatus | None = None
    problem: str | None = None
    """Why it does not learn, and what to do; None where it does."""


class SeenSource(BaseModel):
    """What a predictor follows, as it says itself."""

    kind: Literal["directory", "url"]
    address: str | None
    reachable: bool
    problem: str | None


class SeenPredictor(BaseModel):
    address: str | None
    ready: bool = False
    model: str | None = None
    version: tuple[int, int] | None = None
    """Epoch and step of the snapshot that answers."""
    source: SeenSource | None = None
    problem: str | None = None
    """Why it does not answer, and what to do; None where it does, or where none was asked for."""


class KnownTask(BaseModel):
    name: str
    samples: int
    holdout_accuracy: float | None
    holdout_samples: int
    forgetting: dict[str, float | None]
    """By track: the best accuracy at an earlier boundary, less that at the last."""


class Knowledge(BaseModel):
    """Of a snapshot: what is known of each task, and what is forgotten."""

    source: str
    version: tuple[int, int]
    tasks: list[KnownTask]
    average_accuracy: dict[str, float | None]
    mean_forgetting: dict[str, float | None]


class ServiceStatus(BaseModel):
    """`si-stream status --json`."""

    format: Literal["si-stream-service/1"] = "si-stream-service/1"
    healthy: bool
    learner: SeenLearner
    predictor: SeenPredictor
    knowledge: Knowledge | None
