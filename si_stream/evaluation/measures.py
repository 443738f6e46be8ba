"""What is measured of one track: the learner itself (``main``) or its ``shadow`` beside it."""

from __future__ import annotations

from pydantic import BaseModel, Field, PositiveInt

from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.evaluation.answers import Answers, KeptAnswers, standard_error
from si_stream.evaluation.plasticity import Plasticity
from si_stream.evaluation.prequential import Prequential


class Live(BaseModel):
    """A task's holdout accuracy as it was last measured, at which step, on how many samples; and
    what of its best at a boundary before was forgotten then, None where there was none."""

    accuracy: float = Field(ge=0, le=1)
    samples: PositiveInt
    step: int
    forgetting: float | None = None
    forgetting_standard_error: float | None = None

    @property
    def standard_error(self) -> float:
        return standard_error(self.accuracy, self.samples)


class Measures(BaseModel):
    """Part of the checkpoint and of every snapshot."""

    consolidator: str
    prequential: Prequential = Prequential()
    accuracy: AccuracyMatrix = AccuracyMatrix()
    live: dict[str, Live] = {}
    best: dict[int, KeptAnswers] = {}
    """Of each task, by number, the answers at the boundary where its accuracy was highest; none
    where that was before they were kept."""
    plasticity: Plasticity = Plasticity()

    def live_of(self, task: int, now: Answers, step: int) -> Live:
        """A task as it has just been measured, compared with its best so far."""
        live = Live(accuracy=now.accuracy, samples=now.samples, step=step)
        best, kept = self.accuracy.best(task), self.best.get(task)
        if best is not None:
            live.forgetting = best - now.accuracy
            live.forgetting_standard_error = (
                now.paired_error(kept.unpacked()) if kept else now.unpaired_error(best)
            )
        return live

    def add_row(self, row: list[Answers | None], trained: int) -> None:
        """The answers at a boundary, by task, and which task has just been trained."""
        for task, now in enumerate(row):
            best = self.accuracy.best(task)
            if now is not None and (best is None or now.accuracy >= best):
                self.best[task] = KeptAnswers.of(now)
        self.accuracy.append([None if now is None else now.accuracy for now in row], trained)

    def copied(self) -> Measures:
        """As they are now; rows, answers and live accuracies are never changed, only replaced."""
        tasks = {name: tested.model_copy() for name, tested in self.prequential.tasks.items()}
        return self.model_copy(
            update={
                "prequential": Prequential(tasks=tasks),
                "accuracy": self.accuracy.copied(),
                "live": dict(self.live),
                "best": dict(self.best),
                "plasticity": self.plasticity.copied(),
            }
        )

    def without_answers(self) -> Measures:
        """A copy without what the next measurement alone needs, for those who only look."""
        return self.copied().model_copy(update={"best": {}})
