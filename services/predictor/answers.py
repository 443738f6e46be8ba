"""Answers: what the predictor says, as an application reads it.

Predictions are encoded from arrays without going through these models, which describe them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, Field

from services.predictor.served import Chosen, Served
from si_stream.checkpoints.snapshots import ServedTask
from si_stream.evaluation.measures import Measures


class SnapshotVersion(BaseModel):
    """Of two epochs the higher is newer. Within one the steps rise, but for a learner that detects
    boundaries: it goes back to before a change, and its steps from there on come again."""

    epoch: int = Field(description="rises whenever a learner starts")
    step: int = Field(description="batches learned so far")


class StreamPosition(BaseModel):
    """The next sample that the answering snapshot has not been trained on."""

    offset: int = Field(description="of the message within its partition")
    row: int = Field(description="of the sample within the message")


class Heading(BaseModel):
    version: SnapshotVersion
    position: dict[str, StreamPosition] = Field(description="by the stream's partition")


class Answer(Heading):
    task: str = Field(description="whose head has answered")


class Prediction(BaseModel):
    label: int = Field(description="the most probable one")
    class_: str | None = Field(alias="class", description="what the label stands for, if known")
    probabilities: list[float] = Field(
        description="of the labels 0, 1, …, up to the highest that is open; they add up to 1"
    )


class Predictions(Answer):
    """The answer to JSON: one prediction for each input, in the order of the inputs."""

    predictions: list[Prediction]


class PredictionColumns(Answer):
    """The answer to raw rows: the same in columns."""

    classes: list[str] | None = Field(description="what the labels 0, 1, … stand for, if known")
    labels: list[int] = Field(description="the most probable label of each input")
    probabilities: list[list[float]] = Field(description="of each input, of the labels 0, 1, …")


class ChosenPrediction(Prediction):
    task: str = Field(description="the one chosen for this input, whose head has answered")
    task_probability: float = Field(
        description="that the input is of this task, if it is of one that can be chosen"
    )


class ChosenPredictions(Heading):
    """The answer to JSON that names no task: each input has its own."""

    predictions: list[ChosenPrediction]


class ChosenColumns(Heading):
    """The answer to raw rows that name no task: the same in columns."""

    tasks: list[str] = Field(description="chosen for each input, whose head has answered")
    task_probabilities: list[float] = Field(
        description="that each input is of that task, if it is of one that can be chosen"
    )
    classes: dict[str, list[str] | None] = Field(
        description="by chosen task, what its labels 0, 1, … stand for, if known"
    )
    labels: list[int] = Field(description="the most probable label of each input")
    probabilities: list[list[float]] = Field(
        description="of each input, of the labels 0, 1, … of its task"
    )


class ModelDescription(BaseModel):
    name: str
    input_shape: list[int] = Field(description="of one input")
    dtype: str = Field(description="of the inputs: uint8 (0 to 255) or float32")
    outputs: int = Field(description="labels of a head; where they are open, the most there may be")
    heads: str = Field(description="per-task, or one shared by all tasks")


class TaskDescription(BaseModel):
    name: str
    classes: list[str] | None = Field(description="what the labels 0, 1, … stand for, if known")
    labels: list[int] | None = Field(
        description="that have come so far, which alone are predicted; null where they are fixed"
    )
    samples: int = Field(description="learned so far")
    holdout_accuracy: float | None = Field(description="as last measured, on samples never learned")
    holdout_samples: int
    choosable: bool = Field(
        description="whether it can be chosen for an input that names no task: it has a head of "
        "its own, and samples enough for a portrait"
    )


class TaskList(BaseModel):
    version: SnapshotVersion
    model: ModelDescription
    active_task: str | None = Field(description="the one being learned")
    tasks: list[TaskDescription] = Field(description="in the order in which they began")


class TaskPlasticity(BaseModel):
    """How a task was learned before it first ended; null where it was too short to say."""

    early_accuracy: float | None = Field(
        description="over its first samples, each predicted before it was learned"
    )
    learned_accuracy: float | None = Field(description="on its holdout set, when it ended")
    speed_ratio: float | None = Field(
        description="its early accuracy over the mean of the first tasks'; 1: as fast as those"
    )
    level_ratio: float | None = Field(
        description="its learned accuracy over the mean of the first tasks'; 1: as well as those"
    )


class LatestAccuracy(BaseModel):
    """Of a task, as it was last measured, which may be since the last boundary."""

    step: int
    accuracy: float
    standard_error: float
    samples: int = Field(description="in its holdout set")
    forgetting: float | None = Field(
        description="its best accuracy at a boundary before, less this one; null: there is none"
    )
    forgetting_standard_error: float | None = Field(
        description="of that difference, over the same samples"
    )


class TrackMatrix(BaseModel):
    """R[i][j]: holdout accuracy on task j after training through the i-th boundary."""

    consolidator: str = Field(description="what keeps this track's old tasks")
    rows: list[list[float | None]] = Field(
        description="one for each boundary; null where a task had not begun or has no holdout"
    )
    average_accuracy: float | None = Field(description="mean of the last row")
    forgetting: dict[str, float | None] = Field(
        description="by task: its best accuracy at an earlier boundary, less the last"
    )
    mean_forgetting: float | None = Field(description="over the tasks before the last")
    backward_transfer: float | None = Field(
        description="mean over the tasks j before the last of R[T][j] - R[j][j]"
    )
    latest: dict[str, LatestAccuracy] = Field(description="by task, those that were measured")
    plasticity: dict[str, TaskPlasticity] = Field(
        description="by task, in the order in which they first ended; below 1, and below the "
        "shadow's: the network is growing stiff"
    )


class AccuracyMatrices(BaseModel):
    version: SnapshotVersion
    tasks: list[str] = Field(description="of the columns")
    tracks: dict[str, TrackMatrix] = Field(
        description="main, and shadow where the same stream is also learned without consolidation"
    )


class Liveness(BaseModel):
    status: Literal["live"] = "live"


class Readiness(BaseModel):
    status: Literal["ready"] = "ready"
    version: SnapshotVersion


def encode_predictions(
    served: Served, task: ServedTask, probabilities_BC: npt.NDArray[np.float32], *, columns: bool
) -> bytes:
    """`Predictions`, or `PredictionColumns`; floats as short as gives the same float32 again."""
    answer: dict[str, Any] = {"task": task.name, **served.heading}
    labels = probabilities_BC.argmax(1).tolist()
    if columns:
        answer |= {"classes": task.classes, "labels": labels, "probabilities": probabilities_BC}
    else:
        classes = dict(enumerate(task.classes or ()))
        answer["predictions"] = [
            {"label": label, "class": classes.get(label), "probabilities": row}
            for label, row in zip(labels, probabilities_BC, strict=True)
        ]
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_chosen(served: Served, chosen: Chosen, *, columns: bool) -> bytes:
    """`ChosenPredictions`, or `ChosenColumns`."""
    answer: dict[str, Any] = {**served.heading}
    labels = [int(row.argmax()) for row in chosen.probabilities]
    if columns:
        answer |= {
            "tasks": [task.name for task in chosen.tasks],
            "task_probabilities": chosen.task_probability_B,
            "classes": {task.name: task.classes for task in chosen.tasks},
            "labels": labels,
            "probabilities": chosen.probabilities,
        }
    else:
        answer["predictions"] = [
            {
                "task": task.name,
                "task_probability": sure,
                "label": label,
                "class": class_of(task, label),
                "probabilities": row,
            }
            for task, sure, label, row in zip(
                chosen.tasks,
                chosen.task_probability_B,
                labels,
                chosen.probabilities,
                strict=True,
            )
        ]
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def class_of(task: ServedTask, label: int) -> str | None:
    classes = task.classes or ()
    return classes[label] if label < len(classes) else None


def version_of(served: Served) -> SnapshotVersion:
    return SnapshotVersion(epoch=served.manifest.epoch, step=served.manifest.step)


def task_list(served: Served) -> TaskList:
    model = served.model
    return TaskList(
        version=version_of(served),
        model=ModelDescription(
            name=model.name,
            input_shape=list(model.input_shape),
            dtype=model.dtype,
            outputs=model.width,
            heads=model.heads,
        ),
        active_task=served.manifest.active_task,
        tasks=[
            TaskDescription(
                **task.model_dump(exclude={"head", "number"}), choosable=task in served.choosable
            )
            for task in served.tasks.values()
        ],
    )


def accuracy_matrices(served: Served) -> AccuracyMatrices:
    numbers = dict(zip(served.tasks, served.manifest.numbers, strict=True))
    tracks = served.manifest.tracks
    return AccuracyMatrices(
        version=version_of(served),
        tasks=[*numbers],
        tracks={track: _matrix(measures, numbers) for track, measures in tracks.items()},
    )


def cells_of(row: list[float | None], numbers: Iterable[int]) -> list[float | None]:
    """A matrix's row, of the tasks of these numbers."""
    return [row[number] if number < len(row) else None for number in numbers]


def _matrix(measures: Measures, numbers: dict[str, int]) -> TrackMatrix:
    matrix, plasticity = measures.accuracy, measures.plasticity
    return TrackMatrix(
        consolidator=measures.consolidator,
        rows=[cells_of(row, numbers.values()) for row in matrix.rows],
        average_accuracy=matrix.average_accuracy(),
        forgetting={name: matrix.forgetting(number) for name, number in numbers.items()},
        mean_forgetting=matrix.mean_forgetting(),
        backward_transfer=matrix.backward_transfer(),
        latest={
            name: LatestAccuracy(standard_error=live.standard_error, **live.model_dump())
            for name, live in measures.live.items()
            if name in numbers
        },
        plasticity={
            name: TaskPlasticity(
                early_accuracy=first.early,
                learned_accuracy=first.learned,
                speed_ratio=plasticity.speed(name),
                level_ratio=plasticity.level(name),
            )
            for name, first in plasticity.tasks.items()
        },
    )
