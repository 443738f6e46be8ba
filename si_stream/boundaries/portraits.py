"""Portraits: what the inputs of each task look like, to know a world again that comes back.

A portrait is the mean of each label's inputs and their spread about it, of a thousand samples of
the task, as sketches. Invariant: it follows from the task's samples alone, not from any weight, so
a network that has forgotten a task still knows its world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.boundaries.sketch import Sketch

DRAWN_SAMPLES = 1024
"""Of which a portrait is drawn: the first of a visit, and anew when it has lasted 4, 16, 64, …
times as long, since a gradual change begins with samples of the old world."""
REDRAWN = 4
LEAST_SAMPLES = 256
"""A portrait of fewer is none: its spread, of 128 numbers, would be known too badly."""
RIDGE = 1e-3
"""Added to each direction's variance, as a share of their mean: borders of images have none."""
LOST_SHARE = 1e-12
"""Added to a direction's variance, as a share of its mean square: some rounding errors of it."""


@dataclass(slots=True)
class Sums:
    """What is added up of samples, for L labels and sketches of K numbers; all float64.

    ``counts`` [L], ``sums`` [L, K] and ``products`` [K, K], the sum of z zᵀ.
    """

    counts: Tensor
    sums: Tensor
    products: Tensor

    @classmethod
    def none(cls, labels: int, size: int) -> Self:
        zeros = (torch.zeros(shape, dtype=torch.float64) for shape in shapes_of(labels, size))
        return cls(*zeros)

    @property
    def samples(self) -> int:
        return int(self.counts.sum())

    def add(self, sketches: npt.NDArray[Any], labels: Tensor) -> None:
        z = torch.from_numpy(sketches)
        self.counts.index_add_(0, labels, torch.ones(len(z), dtype=torch.float64))
        self.sums.index_add_(0, labels, z)
        self.products.addmm_(z.T, z)

    def scatter_about(self, means: Tensor) -> Tensor:
        """Σ (z − m)(z − m)ᵀ about given means ``[L, K]`` of their labels, ``[K, K]``."""
        crossed = self.sums.T @ means
        return self.products - crossed - crossed.T + (means.T * self.counts) @ means


@dataclass(slots=True)
class Portrait:
    """``counts`` [L], ``means`` [L, K] and ``covariance`` [K, K] about them, float64."""

    counts: Tensor
    means: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, sums: Sums) -> Self:
        means = sums.sums / sums.counts.clamp(min=1.0).unsqueeze(1)
        freedom = max(1.0, sums.samples - float((sums.counts > 0).sum()))
        covariance = sums.scatter_about(means) / freedom
        # Far from 0, what little the numbers vary by is lost in their squares.
        lost = LOST_SHARE * sums.products.diagonal() / max(1, sums.samples)
        covariance.diagonal().add_(
            RIDGE * covariance.diagonal().mean().clamp(min=0.0) + lost + 1e-12
        )
        return cls(sums.counts.clone(), means, covariance)


class Portraits:
    """The portraits of all tasks, and the one that is being drawn.

    Args:
        input_shape: of one input.
        labels: that a task may have.
    """

    def __init__(self, input_shape: tuple[int, ...], labels: int) -> None:
        self.sketch = Sketch(input_shape)
        self.labels = labels
        self.known: dict[int, Portrait] = {}
        """By the task's number."""
        self.drawn = self._nothing()
        self.seen = 0
        """Samples of this visit to the active task."""

    def see(self, task: int, inputs: Tensor, labels: Tensor) -> None:
        """The next samples of the active task.

        What was drawn becomes its portrait when they go on behind the last that was to be drawn, so
        the first samples of a visit are there to be compared, however large a batch is.
        """
        if not in_window(self.seen):
            self._finish(task)
        else:
            self.drawn.add(self.sketch.of(inputs.numpy()), labels)
        self.seen += len(labels)

    def end(self, task: int) -> None:
        """The task has ended; what was begun of its portrait is better than none."""
        is_new = task not in self.known and self.drawn.samples >= LEAST_SAMPLES
        if is_new or not in_window(self.seen):
            self._finish(task)
        self.drawn, self.seen = self._nothing(), 0

    def state(self) -> dict[str, Tensor]:
        """Everything that it goes on from; the live tensors."""
        drawn = _tensors("drawn", self.drawn)
        return drawn | self.settled() | {"seen": torch.tensor(self.seen)}

    def settled(self) -> dict[str, Tensor]:
        """Of the state, the portraits: one is replaced when it is drawn anew, and never changed."""
        named = [_tensors(str(task), portrait) for task, portrait in self.known.items()]
        return {name: tensor for tensors in named for name, tensor in tensors.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `state`, a copy of it; an empty one is that of a model without portraits."""
        self.drawn, self.seen, self.known = self._nothing(), int(state.get("seen", 0)), {}
        for part in {name.partition("/")[0] for name in state} - {"seen"}:
            kind = Sums if part == "drawn" else Portrait
            held = kind(*(state[f"{part}/{field.name}"].clone() for field in fields(kind)))
            if isinstance(held, Sums):
                self.drawn = held
            else:
                self.known[int(part)] = held

    def _finish(self, task: int) -> None:
        if self.drawn.samples:
            self.known[task] = Portrait.of(self.drawn)
            self.drawn = self._nothing()

    def _nothing(self) -> Sums:
        return Sums.none(self.labels, self.sketch.size)


def _tensors(part: str, held: Sums | Portrait) -> dict[str, Tensor]:
    return {f"{part}/{field.name}": getattr(held, field.name) for field in fields(held)}


def shapes_of(labels: int, size: int) -> tuple[tuple[int, ...], ...]:
    """Of a portrait's numbers, and of the sums that it is drawn from, for sketches of a size."""
    return (labels,), (labels, size), (size, size)


def in_window(seen: int) -> bool:
    """Whether a sample, by its number in the visit, is one to draw from."""
    start = 0
    while start + DRAWN_SAMPLES <= seen:
        start = max(start, DRAWN_SAMPLES) * REDRAWN
    return start <= seen
