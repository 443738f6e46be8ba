"""Holdout sets: samples of each task that are tested on and never learned from.

Invariant: whether a sample is held out, and whether it is kept, depends on the stream's contents
and order alone. A set keeps the first ``capacity`` samples, so it never changes once full. A row
that has been handed out never changes, also where the sets are put back to what they were before.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.evaluation.answers import Answers
from si_stream.evaluation.options import HoldoutOptions
from si_stream.learning.learner import Learner

Array = npt.NDArray[Any]


class HoldoutSet(NamedTuple):
    """Inputs ``[n, *input_shape]`` of the stream's dtype and labels ``[n]`` int64."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class Holdouts:
    """The holdout set of each task, by name."""

    def __init__(self, options: HoldoutOptions) -> None:
        self.options = options
        self.sets: dict[str, HoldoutSet] = {}
        self._space: dict[str, HoldoutSet] = {}
        self._newest: dict[str, HoldoutSet] = {}
        """Of each task, up to where its space is filled."""

    def diverts(self, inputs: Array) -> npt.NDArray[np.bool_] | None:
        """Which rows ``[n]`` of training inputs are held out; None where none can be.

        A row is chosen by the CRC-32 of its bytes: the same sample always or never.
        """
        if self.options.source != "divert":
            return None
        limit = self.options.share * 2**32
        return np.array([zlib.crc32(row.tobytes()) < limit for row in inputs], np.bool_)

    def add(self, task: str, inputs: Array, labels: Array) -> None:
        """Keep as many of the rows as there is room for."""
        held = self.sets.get(task)
        start = len(held) if held else 0
        end = min(start + len(labels), self.options.capacity)
        if self.options.source == "off" or end <= start:
            return
        space = self._space.get(task)
        # What lies behind a set that was put back belongs to the one that it was put back from.
        if space is None or len(space) < end or held is not self._newest.get(task):
            space = self._doubled(held, end, inputs)
        for array, rows in zip(space, (inputs, labels), strict=True):
            array.numpy()[start:end] = rows[: end - start]
        self._space[task] = space
        self.sets[task] = HoldoutSet(space.inputs[:end], space.labels[:end])
        self._newest[task] = self.sets[task]

    def _doubled(self, held: HoldoutSet | None, needed: int, inputs: Array) -> HoldoutSet:
        """Space for the set to grow into, so that many small messages do not copy it each time."""
        size = min(max(needed, 2 * len(held) if held else 0), self.options.capacity)
        space = HoldoutSet(
            torch.from_numpy(np.empty((size, *inputs.shape[1:]), inputs.dtype)),
            torch.empty(size, dtype=torch.int64),
        )
        if held:
            space.inputs[: len(held)], space.labels[: len(held)] = held
        return space

    def evaluate(self, learner: Learner, task: str, head: int) -> Answers | None:
        """What a learner answers to a task's set; None without one. Waits for the device once."""
        held = self.sets.get(task)
        return Answers(learner.are_right(*held, head).cpu().numpy()) if held else None
