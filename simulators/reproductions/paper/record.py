"""What a run of an arm leaves: the accuracies at each boundary, and what was found important."""

from __future__ import annotations

from statistics import mean

from pydantic import Field

from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from simulators.reproductions.paper.catalogue import JOINT, SCRATCH
from simulators.reproductions.paper.importance import Importance
from simulators.reproductions.records import Part, Record


class Row(Part):
    """Accuracies at a boundary, 0 to 1, by task: those begun so far, on all their samples.

    ``after`` is the task that has ended. One of test and validation is empty.
    """

    after: str
    test: dict[str, float] = Field(default_factory=dict)
    validation: dict[str, float] = Field(default_factory=dict)
    train: dict[str, float]

    @property
    def accuracy(self) -> dict[str, float]:
        """On samples that were not learned."""
        return self.test or self.validation


class PaperRecord(Record):
    """A run. Of joint training there is one row, at the end; from scratch each row is that of
    another network and has its own task alone."""

    method: str
    strength: float | None
    variation: str | None = None
    epochs: int
    tasks: list[str]
    samples: int
    rows: list[Row]
    importance: Importance | None = None  # of a sequence under Synaptic Intelligence, also of c = 0

    @property
    def final(self) -> dict[str, float]:
        """Of each task, at the last boundary at which it was tested."""
        return {task: value for row in self.rows for task, value in row.accuracy.items()}

    @property
    def final_train(self) -> dict[str, float]:
        return {task: value for row in self.rows for task, value in row.train.items()}

    @property
    def curve(self) -> list[float]:
        """After each task, the mean over those learned so far; empty where none follows another."""
        return [mean(row.accuracy.values()) for row in self.rows] if self.is_sequence else []

    @property
    def is_sequence(self) -> bool:
        """Whether one network has learned one task after the other."""
        return self.method not in (JOINT, SCRATCH)

    @property
    def matrix(self) -> AccuracyMatrix:
        """Of a sequence."""
        matrix = AccuracyMatrix()
        for number, row in enumerate(self.rows):
            matrix.append([row.accuracy.get(task) for task in self.tasks[: number + 1]], number)
        return matrix
