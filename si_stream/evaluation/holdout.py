"""Holdout sets: samples of each task that are tested on and never learned from.

Invariant: whether a sample is held out, and whether it is kept, depends on the stream's contents
and order alone. A set keeps the first ``capacity`` samples, so it never changes once full.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.evaluation.options import HoldoutOptions
from si_stream.learning.learner import Learner

Array = npt.NDArray[Any]


class HoldoutSet(NamedTuple):
    """Inputs ``[n, *input_shape]`` of the stream's dtype and labels ``[n]`` int64."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class Accuracy(NamedTuple):
    """A share of right answers among so many samples."""

    value: float
    samples: int

    @property
    def standard_error(self) -> float:
        """Of a proportion, √(p(1−p)/n)."""
        return float(np.sqrt(self.value * (1.0 - self.value) / self.samples))


class Holdouts:
    """The holdout set of each task, by name."""

    def __init__(self, options: HoldoutOptions) -> None:
        self.options = options
        self.sets: dict[str, HoldoutSet] = {}

    def diverts(self, inputs: Array) -> npt.NDArray[np.bool_] | None:
        """Which rows ``[n]`` of training inputs are held out; None where none can be.

        A row is chosen by the CRC-32 of its bytes: the same sample always or never.
        """
        if self.options.source != "divert":
            return None
        limit = self.options.share * 2**32
        return np.array([zlib.crc32(row.tobytes()) < limit for row in inputs], np.bool_)

    def add(self, task: str, inputs: Array, labels: Array) -> int:
        """Keep as many of the rows as there is room for; how many."""
        held = self.sets.get(task)
        room = self.options.capacity - (len(held) if held else 0)
        if self.options.source == "off" or room <= 0 or len(labels) == 0:
            return 0
        new = HoldoutSet(
            torch.from_numpy(np.array(inputs[:room])), torch.from_numpy(np.array(labels[:room]))
        )
        if held:
            new = HoldoutSet(*(torch.cat(pair) for pair in zip(held, new, strict=True)))
        self.sets[task] = new
        return len(new) - (len(held) if held else 0)

    def evaluate(self, learner: Learner, task: str, head: int) -> Accuracy | None:
        """How well a learner answers a task's set; None without one."""
        held = self.sets.get(task)
        if not held:
            return None
        return Accuracy(learner.count_correct(*held, head) / len(held), len(held))
