"""What a person may choose about a replay; light to import and free of any data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from si_stream.learning.options import Options

ScenarioName = Literal[
    "split-mnist",
    "split-cifar",
    "split-digits",
    "permuted-mnist",
    "permuted-digits",
    "rotated-mnist",
    "rotated-cifar10",
    "rotated-digits",
    "inverted-mnist",
    "inverted-cifar10",
    "inverted-digits",
    "contrast-mnist",
    "contrast-cifar10",
    "contrast-digits",
    "stationary-mnist",
    "stationary-cifar10",
    "stationary-digits",
]
LabelSpace = Literal["local", "global"]
Again = Literal["same", "other"]
Boundaries = Literal["announced", "silent"]
Codec = Literal["arrow", "json"]


class ReplayOptions(Options):
    """How a scenario becomes a stream. The same options give the same bytes."""

    epochs_per_task: int = Field(
        default=1,
        ge=1,
        description="Passes over a task's training samples. A stream shows a sample once; the "
        "paper's benchmarks show it 10 to 60 times.",
    )
    samples_per_message: int = Field(
        default=128,
        ge=1,
        le=65_536,
        description="128 MNIST images are a message of 100 kB: large enough for speed, below the "
        "1 MB that a Kafka broker takes and the 10 MiB that a learner takes by default.",
    )
    partitions: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Of the stream. Messages of samples are dealt to them in turn; boundaries and "
        "the end go to each.",
    )
    rate_samples_per_second: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Pace of the stream, training and holdout samples alike; as fast as the broker "
        "takes them by default.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Decides the order of the samples, and all else that is drawn.",
    )
    boundaries: Boundaries = Field(
        default="announced",
        description="announced: each task's samples name it and a boundary message follows them, "
        "also the last's. silent: nothing on the stream tells one task from the next, and a "
        "message may hold the end of one and the beginning of the next.",
    )
    boundary_jitter_samples: int = Field(
        default=0,
        ge=0,
        description="Each task but the last ends up to so many training samples early, drawn by "
        "the seed: one less than the batch size and its end falls anywhere in a batch.",
    )
    drift_samples: int = Field(
        default=0,
        ge=0,
        description="Training samples over which the next task's share rises from 0 to 1; 0 is a "
        "sudden change. The boundary is where the rise begins, and from there on an announced "
        "stream names the next task.",
    )
    label_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the training samples whose label is another of the task's, drawn "
        "anew in each epoch: an error floor that no learner gets below. Holdout samples keep "
        "their labels.",
    )
    holdout: bool = Field(
        default=True,
        description="Send the task's test samples, never to be trained on, before the first of its "
        "training samples, so that a learner can say what it has forgotten. Once, however often "
        "the task comes. On a silent stream they name no task, and a learner takes them for the "
        "active one's.",
    )
    holdout_samples_per_task: int | None = Field(
        default=None,
        ge=1,
        description="At most so many holdout samples a task, drawn by the seed; the whole test set "
        "by default. For streams on which the test set would outweigh the training samples.",
    )
    codec: Codec = Field(
        default="arrow", description="arrow for speed, json for a person who reads along."
    )
    end: bool = Field(
        default=True,
        description="Close with an end message. Leave it out where another replay follows.",
    )
