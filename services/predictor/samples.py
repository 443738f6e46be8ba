"""Samples to try the model with: some of a task's holdout set, from the newest checkpoint.

Invariant: a file is compared with the digest in its name before it is parsed, and none is read
that is larger than `LIMIT_BYTES`. A checkpoint that is removed meanwhile counts as none.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from services.predictor.answers import encode_samples
from services.predictor.served import Served
from si_stream.checkpoints.holdout_files import HoldoutFiles
from si_stream.errors import CorruptCheckpoint
from si_stream.learning.options import ModelOptions

logger = logging.getLogger(__name__)
COUNT = 12
LIMIT_VALUES = 200_000
"""Of all samples of an answer together, which take it a few milliseconds; images of 224 × 224 × 3
are one at a time."""
LIMIT_BYTES = 64 * 1024 * 1024


class Samples:
    """Args:
    directory: of the model.
    """

    def __init__(self, directory: Path) -> None:
        self._files = HoldoutFiles(directory)
        self._some = lru_cache(maxsize=32)(self._read)

    def of(self, served: Served, task: str) -> bytes:
        """A `SampleList` of at most `COUNT`, evenly over the labels, that have `LIMIT_VALUES` at
        most; of none where the task has no holdout set. In JSON, ready to be sent: to check and
        encode large inputs takes long, and is not for the event loop.

        Raises:
            UnknownTask: there is none of the name.
        """
        named = served.task(task)
        assert named is not None
        inputs, labels = torch.empty(0), torch.empty(0)
        try:
            file = self._files.newest(task)
            if file is not None and file.stat().st_size <= LIMIT_BYTES:
                inputs, labels = self._some(file)
                _require_fit(inputs, served.model)
        except (CorruptCheckpoint, OSError) as error:
            logger.warning("no samples of task %s: %s", task, error)
            inputs, labels = torch.empty(0), torch.empty(0)
        return encode_samples(named, inputs.numpy(), labels.numpy())

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
