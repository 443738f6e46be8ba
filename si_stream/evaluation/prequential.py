"""Prequential (test-then-train) accuracy: every sample is predicted before it is learned.

Invariant: each trained sample is counted once, for the task it was trained under.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Tested(BaseModel):
    """Samples of one task tested so far, how many wrongly, and their summed loss in nats."""

    model_config = ConfigDict(ser_json_inf_nan="strings")  # a loss may overflow, or be no number

    samples: int = 0
    wrong: int = 0
    loss: float = 0.0
    early_samples: int = 0
    """Of its first so many, as `Track` counts them, those tested, and how many of these wrongly."""
    early_wrong: int = 0


class Prequential(BaseModel):
    """The tally of each task, by name."""

    tasks: dict[str, Tested] = {}
