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

    def accuracy(self) -> float | None:
        return 1.0 - self.wrong / self.samples if self.samples else None


class Prequential(BaseModel):
    """The tally of each task, by name.

    Example:
        >>> tally = Prequential()
        >>> tally.add("a", samples=64, wrong=16, loss=30.0)
        >>> tally.tasks["a"].accuracy()
        0.75
    """

    tasks: dict[str, Tested] = {}

    def add(self, task: str, samples: int, wrong: int, loss: float) -> None:
        tested = self.tasks.setdefault(task, Tested())
        tested.samples += samples
        tested.wrong += wrong
        tested.loss += loss
