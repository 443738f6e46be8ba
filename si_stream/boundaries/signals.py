"""Signals: the numbers of each sample, from 0 to 1, that rise when the world changes.

Errors of the prediction before training are the one that needs nothing else: they also rise for a
label that was never seen, which no prediction can hit. Losses are there to compare. Inputs that
look unusual are for worlds that change without being predicted worse. Invariant: a sample's number
follows from the samples of its task up to then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

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
LOOKED_AT = 8
TOGETHER = 32
"""Inputs are looked at so many at a time, which costs little more than to look at a quarter of
them. ADWIN checks its window whenever it has been fed so many, so it alarms no later for it."""
KEPT_BYTES = 8 << 20
"""Of the last inputs, to look at each of them when there is an alarm."""


class Seen(NamedTuple):
    """Samples of a task, ``[n]`` in order, and what was predicted of them before training."""

    inputs: Tensor  # [n, *input_shape]
    labels: Tensor  # [n]
    logits: Tensor  # [n, C]
    wrong: Tensor  # [n] bool


class Read(NamedTuple):
    """The numbers ``[m]`` that a signal has of samples, and of which ``[m]``, rising; below 0 are
    those before the ones that were read last."""

    rows: npt.NDArray[np.intp]
    values: Values


NOTHING = Read(np.zeros(0, np.intp), np.zeros(0, np.bool_))


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

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:  # noqa: B027
        """Take over the `state` of an equal one."""


class Errors(Signal):
    """1 for a wrong prediction."""

    name = "errors"

    def read(self, seen: Seen, first: int) -> Read:
        values: Values = seen.wrong.cpu().numpy()
        return Read(np.arange(len(values)), values)


class Losses(Signal):
    """1 − e⁻ˡ of the loss l, which is 1 less the probability that the label was given."""

    name = "losses"

    def read(self, seen: Seen, first: int) -> Read:
        labels = seen.labels.to(seen.logits.device).unsqueeze(1)
        # Of a head none of whose outputs is open yet every probability is NaN: nothing was given.
        given = torch.softmax(seen.logits, 1).gather(1, labels).squeeze(1).nan_to_num(nan=0.0)
        values: Values = (1.0 - given.cpu().double()).clamp(0.0, 1.0).numpy()
        return Read(np.arange(len(values)), values)


class Inputs(Signal):
    """1 for an input farther from the task's portrait, or nearer to it, than 95 of 100 are.

    The first thousand samples of a task draw its portrait and the second show what is usual; of
    these there are no values. Then every eighth sample is looked at, since looking at all would
    cost as much as a third of a small network's step. The last ones are kept, and where an alarm
    asks, each of them is looked at.

    Args:
        kept: of the last inputs at most; fewer where they are large.
    """

    name = "inputs"

    def __init__(self, input_shape: tuple[int, ...], labels: int, kept: int) -> None:
        self._sketch = Sketch(input_shape)
        self._labels = labels
        self._most = kept
        self._usual: npt.NDArray[np.float64]
        self._waiting: list[npt.NDArray[Any]]
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
        self._keep(inputs)
        return self._look(inputs, -first % LOOKED_AT)

    def latest(self) -> Values:
        return self._are_unusual(self._latest()) if self._kept else NOTHING.values

    def reset(self) -> None:
        self._sums = Sums.none(self._labels, self._sketch.size)
        self._portrait: Portrait | None = None
        self._usual = np.zeros(0)
        self._waiting = []
        self._kept: deque[npt.NDArray[Any]] = deque()
        self._kept_samples = 0

    def state(self) -> Arrays:
        parts = {"sums": self._sums} | ({"portrait": self._portrait} if self._portrait else {})
        arrays = {
            f"{part}.{field.name}": getattr(held, field.name).numpy()
            for part, held in parts.items()
            for field in fields(held)
        }
        kept = {"kept": self._latest()} if self._kept else {}
        waiting = {"waiting": np.concatenate(self._waiting)} if self._waiting else {}
        return arrays | kept | waiting | {"usual": self._usual}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        def read(kind: type[Any], part: str) -> Any:
            return kind(*(torch.tensor(state[f"{part}.{one.name}"]) for one in fields(kind)))

        self._sums = read(Sums, "sums")
        self._portrait = None
        if "portrait.means" in state:
            self._take(read(Portrait, "portrait"))
        self._usual = state["usual"].copy()
        self._waiting = [state["waiting"].copy()] if "waiting" in state else []
        self._kept = deque([state["kept"].copy()] if "kept" in state else [])
        self._kept_samples = sum(map(len, self._kept))
        if len(self._usual):
            self._limits = limits_of(self._usual)

    def _take(self, portrait: Portrait) -> None:
        self._portrait = portrait
        factor = torch.linalg.cholesky(portrait.covariance)
        self._whitening = torch.linalg.inv(factor).T.contiguous()
        self._means = portrait.means[portrait.counts > 0] @ self._whitening

    def _look(self, inputs: npt.NDArray[Any], start: int) -> Read:
        """At every eighth from ``start`` on, once there are enough of them."""
        # Large ones are not kept for long enough to be looked at again at an alarm meanwhile.
        are_kept = self._fitting(inputs) >= TOGETHER * LOOKED_AT
        chosen = (self._kept[-1] if are_kept else inputs)[start::LOOKED_AT]
        if len(chosen):
            self._waiting.append(chosen)
        count, together = sum(map(len, self._waiting)), TOGETHER if are_kept else 1
        if count < together:
            return NOTHING
        waiting, ready = np.concatenate(self._waiting), count - count % together
        self._waiting = [waiting[ready:]] if ready < count else []
        last = start + LOOKED_AT * (len(chosen) - 1)
        rows = np.arange(last - LOOKED_AT * (count - 1), last + 1, LOOKED_AT)
        return Read(rows[:ready], self._are_unusual(waiting[:ready]))

    def _keep(self, inputs: npt.NDArray[Any]) -> None:
        most = self._fitting(inputs)
        if not most:
            return
        self._kept.append(inputs.copy())
        self._kept_samples += len(inputs)
        while self._kept_samples - len(self._kept[0]) >= most:
            self._kept_samples -= len(self._kept.popleft())

    def _latest(self) -> npt.NDArray[Any]:
        every = np.concatenate(self._kept)
        return every[-self._fitting(every) :]

    def _fitting(self, inputs: npt.NDArray[Any]) -> int:
        """How many like these are kept."""
        return min(self._most, KEPT_BYTES // inputs[:1].nbytes)

    def _are_unusual(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        distances, (nearest, farthest) = self._distances(inputs), self._limits
        unusual: npt.NDArray[np.bool_] = (distances < nearest) | (distances > farthest)
        return unusual

    def _distances(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Squared, of each sample to the nearest label's mean, in units of the spread."""
        # By PyTorch, whose number of threads is a setting.
        white = torch.from_numpy(self._sketch.of(inputs)) @ self._whitening
        nearest = torch.cdist(white, self._means).amin(1)
        found: npt.NDArray[np.float64] = nearest.square().numpy()
        return found


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
