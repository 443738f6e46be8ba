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
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.boundaries.detectors import Values
from si_stream.boundaries.kept_inputs import KeptInputs
from si_stream.boundaries.options import SignalName
from si_stream.boundaries.portraits import DRAWN_SAMPLES, Portrait, Sums
from si_stream.boundaries.sketch import Sketch
from si_stream.compiling import compiled

Arrays = dict[str, npt.NDArray[Any]]
USUAL_SHARE = 0.95
LOOKED_AT = 8
TOGETHER = 32
"""Inputs are looked at so many at a time, which costs little more than to look at a quarter of
them. ADWIN checks its window whenever it has been fed so many, so it alarms no later for it."""
LOOKED_AMONG = TOGETHER * LOOKED_AT


class Seen(NamedTuple):
    """Samples of a task, ``[n]`` in order, and what was predicted of them before training."""

    inputs: Tensor  # [n, *input_shape]
    labels: Tensor  # [n]
    logits: Tensor  # [n, C]
    wrong: Tensor  # [n] bool


class Read(NamedTuple):
    """Samples by their numbers in the task ``[m]``, rising, and what a signal says of each."""

    samples: npt.NDArray[np.int64]
    values: Values


NOTHING = Read(np.zeros(0, np.int64), np.zeros(0, np.bool_))


class Signal(ABC):
    name: ClassVar[str]

    @abstractmethod
    def read(self, seen: Seen, first: int) -> Read:
        """Of the next samples of a task, of which the first is number ``first``, from 0."""

    def latest(self) -> Values:
        """Of every one of the last samples, as many as it can still tell ``[n]``; none where `read`
        has told all."""
        return NOTHING.values

    def reset(self) -> None:  # noqa: B027  most remember nothing
        """A task has ended."""

    def state(self) -> Arrays:
        """Everything that it goes on from, to the bit."""
        return {}

    def load(self, state: Mapping[str, npt.NDArray[Any]], seen: int) -> None:  # noqa: B027
        """Take over the `state` of an equal one, of when so many samples of the task were seen."""


class Errors(Signal):
    """1 for a wrong prediction."""

    name = "errors"

    def read(self, seen: Seen, first: int) -> Read:
        values: Values = seen.wrong.cpu().numpy()
        return Read(np.arange(first, first + len(values)), values)


class Losses(Signal):
    """1 − e⁻ˡ of the loss l, which is 1 less the probability that the label was given."""

    name = "losses"

    def read(self, seen: Seen, first: int) -> Read:
        labels = seen.labels.to(seen.logits.device).unsqueeze(1)
        # Of a head none of whose outputs is open yet every probability is NaN: nothing was given.
        given = torch.softmax(seen.logits, 1).gather(1, labels).squeeze(1).nan_to_num(nan=0.0)
        values: Values = (1.0 - given.cpu().double()).clamp(0.0, 1.0).numpy()
        return Read(np.arange(first, first + len(values)), values)


class Inputs(Signal):
    """1 for an input farther from the task's portrait, or nearer to it, than 95 of 100 are.

    The first thousand samples of a task draw its portrait and the second show what is usual; of
    these there are no values. Then every eighth sample is looked at, since looking at all would
    cost a small network an eighth of its step. The last ones are kept, and where an alarm
    asks, each of them is looked at.

    Args:
        kept: of the last inputs at most; fewer where they are large.
    """

    name = "inputs"

    def __init__(self, input_shape: tuple[int, ...], labels: int, kept: int) -> None:
        self._sketch = Sketch(input_shape)
        self._labels = labels
        self._kept = KeptInputs(kept)
        self._usual: npt.NDArray[np.float64]
        self.reset()

    def read(self, seen: Seen, first: int) -> Read:
        inputs = seen.inputs.numpy()
        if self._portrait is None:
            self._sums.add(self._sketch.of(inputs), seen.labels)
            if self._sums.samples >= DRAWN_SAMPLES:
                self._take(Portrait.of(self._sums))
            return NOTHING
        if len(self._usual) < DRAWN_SAMPLES:
            self._usual = np.concatenate((self._usual, self._distances(inputs)))
            self._limits = limits_of(self._usual)
            return NOTHING
        if len(inputs) <= LOOKED_AMONG:
            return self._look(inputs, first)
        parts = [
            self._look(inputs[begin : begin + LOOKED_AMONG], first + begin)
            for begin in range(0, len(inputs), LOOKED_AMONG)
        ]
        samples, values = zip(*parts, strict=True)
        return Read(np.concatenate(samples), np.concatenate(values))

    def latest(self) -> Values:
        return self._are_unusual(self._kept.latest()) if len(self._kept) else NOTHING.values

    def reset(self) -> None:
        self._sums = Sums.none(self._labels, self._sketch.size)
        self._portrait: Portrait | None = None
        self._usual = np.zeros(0)
        self._kept.clear()
        self._next = 0
        """The number of the next sample to be looked at, a multiple of `LOOKED_AT`."""

    def state(self) -> Arrays:
        parts = {"sums": self._sums} | ({"portrait": self._portrait} if self._portrait else {})
        arrays = {
            f"{part}.{field.name}": getattr(held, field.name).numpy()
            for part, held in parts.items()
            for field in fields(held)
        }
        if len(self._kept):
            arrays |= {"kept": self._kept.latest(), "waiting": np.array(self._waiting())}
        return arrays | {"usual": self._usual}

    def load(self, state: Mapping[str, npt.NDArray[Any]], seen: int) -> None:
        def read(kind: type[Any], part: str) -> Any:
            return kind(*(torch.tensor(state[f"{part}.{one.name}"]) for one in fields(kind)))

        self.reset()
        self._sums = read(Sums, "sums")
        if "portrait.means" in state:
            self._take(read(Portrait, "portrait"))
        self._usual = state["usual"].copy()
        if len(self._usual):
            self._limits = limits_of(self._usual)
        if "kept" in state:
            self._kept.add(state["kept"], seen - len(state["kept"]))
            waiting = state.get("waiting", np.array(0))
            count = len(waiting) if waiting.ndim else int(waiting)  # once the inputs themselves
            self._next = next_looked_at(seen) - LOOKED_AT * count

    def _take(self, portrait: Portrait) -> None:
        self._portrait = portrait
        factor = torch.linalg.cholesky(portrait.covariance)
        unit = torch.eye(len(factor), dtype=factor.dtype)
        self._whitening = torch.linalg.solve_triangular(factor, unit, upper=False).T.contiguous()
        means = portrait.means[portrait.counts > 0] @ self._whitening
        self._means = means.T.contiguous().numpy()

    def _look(self, inputs: npt.NDArray[Any], first: int) -> Read:
        """At every eighth, once there are enough of them."""
        self._kept.add(inputs, first)
        # Large ones are not kept for long enough to be looked at later.
        are_kept = self._kept.capacity >= 2 * LOOKED_AMONG
        if not are_kept or self._next < self._kept.first:
            self._next = next_looked_at(first)
        count = self._waiting()
        count -= count % TOGETHER if are_kept else 0
        if not count:
            return NOTHING
        samples = self._next + LOOKED_AT * np.arange(count)
        self._next += LOOKED_AT * count
        chosen = self._kept.at(samples) if are_kept else inputs[samples - first]
        return Read(samples, self._are_unusual(chosen))

    def _waiting(self) -> int:
        """How many of those to be looked at have come and have not been."""
        return -((self._next - self._kept.end) // LOOKED_AT)

    def _are_unusual(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        distances, (nearest, farthest) = self._distances(inputs), self._limits
        unusual: npt.NDArray[np.bool_] = (distances < nearest) | (distances > farthest)
        return unusual

    def _distances(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Squared, of each sample to the nearest label's mean, in units of the spread."""
        # By PyTorch, whose number of threads is a setting.
        white = torch.from_numpy(self._sketch.of(inputs)) @ self._whitening
        return squares_to_nearest(white.numpy(), self._means)


@compiled
def squares_to_nearest(
    points: npt.NDArray[np.float64], means: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Squared distances ``[n]`` of points ``[n, K]`` to the nearest of means ``[K, L]``."""
    nearest, squares = np.empty(len(points)), np.empty(means.shape[1])
    for n in range(len(points)):
        squares[:] = 0.0
        for k in range(len(means)):
            for label in range(len(squares)):
                squares[label] += (points[n, k] - means[k, label]) ** 2
        nearest[n] = squares.min()
    return nearest


def next_looked_at(sample: int) -> int:
    """The first from this one on."""
    return -(-sample // LOOKED_AT) * LOOKED_AT


def limits_of(usual: npt.NDArray[np.float64]) -> tuple[float, float]:
    rest = (1 - USUAL_SHARE) / 2
    nearest, farthest = np.quantile(usual, (rest, 1 - rest)).tolist()
    return nearest, farthest


def build_signal(
    name: SignalName, input_shape: tuple[int, ...], labels: int, window_samples: int
) -> Signal:
    match name:
        case "errors":
            return Errors()
        case "losses":
            return Losses()
        case "inputs":
            return Inputs(input_shape, labels, window_samples)
