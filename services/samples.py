"""Samples to try the model with: some of a task's holdout set, from the newest checkpoint.

Invariant: a file is compared with the digest in its name before it is parsed, and none is read
that is larger than `LIMIT_BYTES`. A checkpoint that is removed meanwhile counts as none.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import orjson
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from si_stream.checkpoints.holdout_files import HoldoutFiles
from si_stream.errors import CorruptCheckpoint
from si_stream.learning.options import ModelOptions

logger = logging.getLogger(__name__)
COUNT = 12
LIMIT_VALUES = 200_000
"""Of all samples of an answer together, which take it a few milliseconds; images of 224 × 224 × 3
are one at a time."""
LIMIT_BYTES = 64 * 1024 * 1024


class Named(Protocol):
    """A task, as a learner and a snapshot know it."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...] | None: ...


class Sample(BaseModel):
    label: int
    class_: str | None = Field(alias="class", description="what the label stands for, if known")
    input: list[Any] = Field(description="nested lists of the model's `input_shape`")


class SampleList(BaseModel):
    task: str
    samples: list[Sample] = Field(
        description="some of the task's holdout set, which nothing has learned from, as the newest "
        "checkpoint has it; fewer where they are large, none where there is no such set"
    )


class Samples:
    """Args:
    directory: of the model.
    """

    def __init__(self, directory: Path) -> None:
        self._files = HoldoutFiles(directory)
        self._some = lru_cache(maxsize=32)(self._read)

    def of(self, task: Named, model: ModelOptions) -> bytes:
        """A `SampleList` of at most `COUNT`, evenly over the labels, that have `LIMIT_VALUES` at
        most; of none where the task has no holdout set. In JSON, ready to be sent: to check and
        encode large inputs takes long, and is not for the event loop."""
        inputs, labels = torch.empty(0), torch.empty(0)
        try:
            file = self._files.newest(task.name)
            if file is not None and file.stat().st_size <= LIMIT_BYTES:
                inputs, labels = self._some(file)
                _require_fit(inputs, model)
        except (CorruptCheckpoint, OSError) as error:
            logger.warning("no samples of task %s: %s", task.name, error)
            inputs, labels = torch.empty(0), torch.empty(0)
        return _encode(task, inputs, labels)

    def _read(self, file: Path) -> tuple[Tensor, Tensor]:
        inputs, labels = self._files.read(file, LIMIT_BYTES)
        room = LIMIT_VALUES // max(1, inputs[:1].numel())
        places = torch.linspace(0, len(labels) - 1, min(COUNT, len(labels), room)).long()
        chosen = labels.argsort(stable=True)[places]
        return inputs[chosen], labels[chosen]


def _require_fit(inputs: Tensor, model: ModelOptions) -> None:
    """Raises:
    CorruptCheckpoint: they are not what the model takes.
    """
    if (tuple(inputs.shape[1:]), str(inputs.dtype)) != (model.input_shape, f"torch.{model.dtype}"):
        raise CorruptCheckpoint(
            f"its holdout samples are {inputs.dtype} of shape {list(inputs.shape[1:])}, and the "
            f"model takes {model.dtype} of shape {list(model.input_shape)}"
        )


def _encode(task: Named, inputs: Tensor, labels: Tensor) -> bytes:
    """`SampleList`, without going through its model."""
    classes = dict(enumerate(task.classes or ()))
    samples = [
        {"label": label, "class": classes.get(label), "input": one}
        for label, one in zip(labels.tolist(), inputs.numpy(), strict=True)
    ]
    answer = {"task": task.name, "samples": samples}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
