"""What is measured of one track: the learner itself (``main``) or its ``shadow`` beside it."""

from __future__ import annotations

from pydantic import BaseModel

from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.evaluation.plasticity import Plasticity
from si_stream.evaluation.prequential import Prequential


class Live(BaseModel):
    """A task's holdout accuracy as it was last measured, at which step, on how many samples."""

    accuracy: float
    samples: int
    step: int


class Measures(BaseModel):
    """Part of the checkpoint and of every snapshot."""

    consolidator: str
    prequential: Prequential = Prequential()
    accuracy: AccuracyMatrix = AccuracyMatrix()
    live: dict[str, Live] = {}
    plasticity: Plasticity = Plasticity()

    def copied(self) -> Measures:
        """As they are now; rows and live accuracies are never changed, only replaced."""
        tasks = {name: tested.model_copy() for name, tested in self.prequential.tasks.items()}
        return self.model_copy(
            update={
                "prequential": Prequential(tasks=tasks),
                "accuracy": self.accuracy.copied(),
                "live": dict(self.live),
                "plasticity": self.plasticity.copied(),
            }
        )
