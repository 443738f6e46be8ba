"""The choice of a task for an input that names none: whose portrait it fits best, and how surely.

The density of an input under a portrait is a mixture, over the task's labels, of Student's t about
each label's mean; its heavy tails keep an odd input from being sure of its task. Sketches are
noisier than that, so differences of log densities are divided by a temperature, fitted to held-out
samples of all tasks. Invariant: the choice follows from the input and the portraits alone, so it
does not age with the weights.

Reference: Platt, "Probabilistic outputs for support vector machines" (1999), for the targets; Guo
et al., "On calibration of modern neural networks", ICML (2017), for the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.boundaries.portraits import Portrait
from si_stream.boundaries.sketch import Sketch

FREEDOM = 64.0
"""Degrees of freedom of t. Of 1 to 256, none makes the right tasks much likelier than 64 does on
split, rotated and permuted MNIST, on MNIST of less contrast and on split CIFAR."""
USUAL_TEMPERATURE = 8.0
"""Where there are no held-out samples. Fitted ones lie from 6 to 20."""
MOST_TEMPERATURE = 256.0
FITTED_SAMPLES = 2048
"""Of all tasks together, as many of each; so a fit takes no longer for more tasks."""
LEAST_FITTED_SAMPLES = 64
SCORED_NUMBERS = 1 << 20
"""Held at once while inputs are scored, whatever their number and that of the tasks: 8 MiB."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """A portrait made ready to compare single inputs with, for L labels and sketches of K numbers.

    ``counts`` [L], ``means`` [L, K] and ``factor`` [K, K], lower triangular: times a sketch's
    distance from a mean it gives independent numbers of variance 1. All float32: 70 kB, of ten
    labels.
    """

    counts: Tensor
    means: Tensor
    factor: Tensor

    @classmethod
    def of(cls, portrait: Portrait) -> Self | None:
        """None of a portrait whose covariance is none, or of which each label was seen once."""
        root, failed = torch.linalg.cholesky_ex(portrait.covariance)
        # A spread that was seen in few samples is smaller than the true one.
        freedom = float(portrait.counts.sum() - (portrait.counts > 0).sum())
        if failed or not math.isfinite(root.sum()) or freedom <= 0:
            return None
        size = len(root)
        seen = max(0.1, (freedom - size - 1) / freedom)
        unit = torch.eye(size, dtype=root.dtype)
        factor = torch.linalg.solve_triangular(root, unit, upper=False) * math.sqrt(seen)
        parts = (portrait.counts, portrait.means, factor)
        return cls(*(part.float().contiguous() for part in parts))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Raises:
        KeyError: one is missing.
        """
        return cls(*(tensors[field.name] for field in fields(cls)))

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Choice(NamedTuple):
    """For each of B inputs the place of its task among the tasks compared, and how sure that is."""

    place_B: npt.NDArray[np.intp]
    probability_B: npt.NDArray[np.float64]


class Chooser:
    """Args:
        input_shape: of one input.
        likenesses: of the tasks to choose from, in an order to which places refer.
        temperature: what differences of log densities are divided by.
        fitted_samples: that the temperature was fitted to; 0: to none.

    Raises:
        ValueError: they are not of this shape of inputs.

    Example:
        >>> inputs = np.random.default_rng(0).normal(size=(2, 300, 4)).astype(np.float32)
        >>> inputs[1] += 3
        >>> def drawn(x):
        ...     sums = Sums.none(1, 4)
        ...     sums.add(Sketch((4,)).of(x), torch.zeros(300, dtype=torch.int64))
        ...     return Likeness.of(Portrait.of(sums))
        >>> from si_stream.boundaries.portraits import Sums
        >>> chooser = Chooser((4,), [drawn(x) for x in inputs])
        >>> chooser.choose(inputs[:, 0]).place_B.tolist()
        [0, 1]
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        likenesses: Sequence[Likeness],
        temperature: float = USUAL_TEMPERATURE,
        fitted_samples: int = 0,
    ) -> None:
        self.input_shape = input_shape
        self.sketch = Sketch(input_shape)
        self.likenesses = likenesses
        self.temperature = temperature
        self.fitted_samples = fitted_samples
        size = self.sketch.size
        for one in likenesses:
            if one.factor.shape != (size, size) or one.means.shape != (len(one.counts), size):
                raise ValueError(f"a portrait is not of sketches of {size} numbers")
        factors = torch.stack([one.factor.double() for one in likenesses])  # [T, K, K]
        self._factors = factors.flatten(0, 1).T.contiguous()
        means = torch.stack([one.means.double() for one in likenesses])
        self._means = factors @ means.mT  # [T, K, L]
        self._mean_squares = self._means.square().sum(1, keepdim=True)
        counts = torch.stack([one.counts.double() for one in likenesses])
        share = (counts / counts.sum(1, keepdim=True)).log()
        density = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        self._offsets = (share + density.unsqueeze(1)).unsqueeze(1)

    def scores(self, inputs: npt.NDArray[Any]) -> Tensor:
        """Log densities under the T tasks, ``[B, T]``, up to a constant; the inputs as they come.

        Not finite for inputs so large that their sketches are not.
        """
        tasks, size, labels = self._means.shape
        rows = max(1, SCORED_NUMBERS // (tasks * max(size, labels)))
        return torch.cat(
            [self._scores(inputs[first : first + rows]) for first in range(0, len(inputs), rows)]
        )

    def choose(self, inputs: npt.NDArray[Any]) -> Choice:
        """The tasks are taken to be equally common."""
        probability_BT = (self.scores(inputs) / self.temperature).softmax(1)
        probability_B, place_B = probability_BT.max(1)
        return Choice(place_B.numpy(), probability_B.numpy())

    def fitted(self, held: Sequence[Tensor]) -> Chooser:
        """With the temperature that makes the tasks of held-out inputs likeliest.

        Args:
            held: of each task, inputs ``[n, *input_shape]``, perhaps none.
        """
        share = FITTED_SAMPLES // max(1, len(held))
        parts = [inputs[:: math.ceil(len(inputs) / share) or 1].numpy() for inputs in held]
        own = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        if len(self.likenesses) < 2 or len(own) < LEAST_FITTED_SAMPLES:
            return self
        scores = torch.cat([self.scores(part) for part in parts if len(part)])
        temperature = fit_temperature(scores, torch.from_numpy(own))
        if temperature is None:
            return self
        return Chooser(self.input_shape, self.likenesses, temperature, len(own))

    def _scores(self, inputs: npt.NDArray[Any]) -> Tensor:
        with np.errstate(over="ignore", invalid="ignore"):
            sketches = torch.from_numpy(self.sketch.of(inputs))
        tasks, size, _ = self._means.shape
        z = (sketches @ self._factors).view(-1, tasks, size).transpose(0, 1)  # [T, B, K]
        squares = z.square().sum(2, keepdim=True) + self._mean_squares
        distances = torch.baddbmm(squares, z, self._means, alpha=-2).clamp_(min=0)
        power = (FREEDOM + self.sketch.size) / 2
        densities = self._offsets - power * (distances / FREEDOM).log1p()  # [T, B, L]
        return densities.logsumexp(2).T


def fit_temperature(scores_BT: Tensor, own_B: Tensor) -> float | None:
    """The temperature at which the own tasks are likeliest; None of scores that are not finite.

    A sample too few to be sure of is left to chance, so that some hundred right ones do not make
    it zero. The likelihood has one maximum, which is found by cutting (Kiefer 1953).
    """
    if not bool(scores_BT.isfinite().all()):
        return None
    samples, tasks = scores_BT.shape
    chance = 1 / (samples + 2)
    target = torch.full_like(scores_BT, chance / tasks)
    target[torch.arange(samples), own_B] += 1 - chance

    def surprise(log_temperature: float) -> float:
        return -float((target * (scores_BT / math.exp(log_temperature)).log_softmax(1)).sum())

    low, high = 0.0, math.log(MOST_TEMPERATURE)
    golden = (math.sqrt(5) - 1) / 2
    inner, outer = high - golden * (high - low), low + golden * (high - low)
    left, right = surprise(inner), surprise(outer)
    while high - low > 1e-3:
        if left <= right:
            high, outer, right = outer, inner, left
            inner = high - golden * (high - low)
            left = surprise(inner)
        else:
            low, inner, left = inner, outer, right
            outer = low + golden * (high - low)
            right = surprise(outer)
    return round(math.exp((low + high) / 2), 2)


class TaskChooser(NamedTuple):
    """A chooser among these tasks, by number; places of its choices refer to them."""

    tasks: list[int]
    chooser: Chooser


def make_chooser(
    input_shape: tuple[int, ...], portraits: Mapping[int, Portrait], held: Mapping[int, Tensor]
) -> TaskChooser | None:
    """None where no task has a portrait.

    Args:
        held: held-out inputs of tasks, by the same numbers.
    """
    known = {number: Likeness.of(portrait) for number, portrait in sorted(portraits.items())}
    found = {number: likeness for number, likeness in known.items() if likeness is not None}
    if not found:
        return None
    chooser = Chooser(input_shape, list(found.values()))
    none = torch.empty(0, *input_shape)
    return TaskChooser(list(found), chooser.fitted([held.get(task, none) for task in found]))
