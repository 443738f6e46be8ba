"""What travels on a stream: samples, the boundary of a task, and the end.

Three immutable values, free of any encoding (see `codecs`) and of any place in a
stream (see `si_stream.brokers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Role = Literal["train", "holdout"]
Dtype = Literal["uint8", "float32"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Labelled samples of one task and one role, 1 to some thousands of them.

    Args:
        inputs: ``[n, *input_shape]``, uint8 or float32.
        labels: ``[n]`` int64, counted from 0 within the task.
        task: the task's name, or None on a stream that does not tell.
        role: ``train`` (tested, then learned) or ``holdout`` (only ever tested on).
        classes: what the labels 0, 1, … of the task stand for, for people to read.
    """

    inputs: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    task: str | None = None
    role: Role = "train"
    classes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Boundary:
    """The task has ended: consolidate. The next one opens at its first sample.

    The same ``event_id`` a second time does nothing.
    """

    event_id: str
    next_task: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The stream has ended: a boundary, and the learner may exit."""

    event_id: str


Message = Samples | Boundary | End


@dataclass(frozen=True, slots=True)
class SampleSchema:
    """What a model takes: the shape and dtype of one input, and labels below ``outputs``, which
    are the most that a head may ever have where ``labels`` are open."""

    input_shape: tuple[int, ...]
    dtype: Dtype
    outputs: int
    labels: Literal["fixed", "open"] = "fixed"

    @property
    def limit(self) -> str:
        """What sets the limit of labels, for an error to end with."""
        return f"; model.max_classes is {self.outputs}" if self.labels == "open" else ""
