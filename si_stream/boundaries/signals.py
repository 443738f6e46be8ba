"""Signals: the numbers of each sample, from 0 to 1, that rise when the world changes.

Errors of the prediction before training are the one that needs nothing else: they also rise for a
label that was never seen, which no prediction can hit. Losses are there to compare. Inputs that
look unusual are for worlds that change without being predicted worse. Invariant: a sample's number
follows from the samples of its task up to then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.boundaries.detectors import Values
from si_stream.boundaries.options import SignalName
from si_stream.boundaries.portraits import DRAWN_SAMPLES, Portrait, Sums
from si_stream.boundaries.sketch import Sketch

Arrays = dict[str, npt.NDArray[Any]]
USUAL_SHARE = 0.95
UNKNOWN: Values = np.zeros(0, np.bool_)


class Signal(ABC):
    name: ClassVar[str]

    @abstractmethod
    def values(self, inputs: Tensor, labels: Tensor, logits: Tensor, wrong: Tensor) -> Values:
        """Of the next samples of a task, ``[n]``; or none ``[0]``, where too little is known yet.

        Args:
            inputs: ``[n, *input_shape]``; ``labels`` ``[n]``.
            logits: ``[n, C]`` of the prediction before training; ``wrong`` ``[n]`` bool.
        """

    def reset(self) -> None:  # noqa: B027  most remember nothing
        """A task has ended."""

    def state(self) -> Arrays:
        """Everything that it goes on from, to the bit."""
        return {}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:  # noqa: B027
        """Take over the `state` of an equal one."""


class Errors(Signal):
    """1 for a wrong prediction."""

    name = "errors"

    def values(self, inputs: Tensor, labels: Tensor, logits: Tensor, wrong: Tensor) -> Values:
        found: Values = wrong.cpu().numpy()
        return found


class Losses(Signal):
    """1 − e⁻ˡ of the loss l, which is 1 less the probability that the label was given."""

    name = "losses"

    def values(self, inputs: Tensor, labels: Tensor, logits: Tensor, wrong: Tensor) -> Values:
        given = torch.softmax(logits, 1).gather(1, labels.to(logits.device).unsqueeze(1))
        found: Values = (1.0 - given.squeeze(1).cpu().double()).clamp(0.0, 1.0).numpy()
        return found


class Inputs(Signal):
    """1 for an input farther from the task's portrait, or nearer to it, than 95 of 100 are.

    The first thousand samples of a task draw its portrait and the second show what is usual; of
    these there are no values. 10 µs a sample.
    """

    name = "inputs"

    def __init__(self, input_shape: tuple[int, ...], labels: int) -> None:
        self._sketch = Sketch(input_shape)
        self._labels = labels
        self._usual: npt.NDArray[np.float64]
        self.reset()

    def values(self, inputs: Tensor, labels: Tensor, logits: Tensor, wrong: Tensor) -> Values:
        sketches = self._sketch.of(inputs.numpy())
        if self._portrait is None:
            self._sums.add(sketches, labels)
            if self._sums.samples >= DRAWN_SAMPLES:
                self._take(Portrait.of(self._sums))
            return UNKNOWN
        distances = self._distances(sketches)
        if len(self._usual) < DRAWN_SAMPLES:
            self._usual = np.concatenate((self._usual, distances))
            return UNKNOWN
        rest = (1 - USUAL_SHARE) / 2
        nearest, farthest = np.quantile(self._usual, (rest, 1 - rest))
        unusual: Values = (distances < nearest) | (distances > farthest)
        return unusual

    def reset(self) -> None:
        self._sums = Sums.none(self._labels, self._sketch.size)
        self._portrait: Portrait | None = None
        self._usual = np.zeros(0)

    def state(self) -> Arrays:
        parts = {"sums": self._sums} | ({"portrait": self._portrait} if self._portrait else {})
        arrays = {
            f"{part}.{field.name}": getattr(held, field.name).numpy()
            for part, held in parts.items()
            for field in fields(held)
        }
        return arrays | {"usual": self._usual}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        def read(kind: type[Any], part: str) -> Any:
            return kind(*(torch.tensor(state[f"{part}.{one.name}"]) for one in fields(kind)))

        self._sums = read(Sums, "sums")
        self._portrait = None
        if "portrait.means" in state:
            self._take(read(Portrait, "portrait"))
        self._usual = state["usual"].copy()

    def _take(self, portrait: Portrait) -> None:
        self._portrait = portrait
        self._means = portrait.means[portrait.counts > 0]
        self._factor = torch.linalg.cholesky(portrait.covariance)

    def _distances(self, sketches: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Squared, of each sample to the nearest label's mean, in units of the spread."""
        z = torch.from_numpy(sketches)
        whitened, means = (
            torch.linalg.solve_triangular(self._factor, points.T, upper=False).T
            for points in (z, self._means)
        )
        squares = (whitened.unsqueeze(1) - means.unsqueeze(0)).square().sum(2)
        found: npt.NDArray[np.float64] = squares.min(1).values.numpy()
        return found


def build_signal(name: SignalName, input_shape: tuple[int, ...], labels: int) -> Signal:
    match name:
        case "errors":
            return Errors()
        case "losses":
            return Losses()
        case "inputs":
            return Inputs(input_shape, labels)
