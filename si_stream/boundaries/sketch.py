"""The sketch of an input: a few numbers in which the means and spreads of a world can be compared.

Each element of an input is added to, or taken from, one of a few bins. Inner products survive that
but for noise, so what two worlds differ in they differ in as sketches too. Invariant: the same
shape has the same bins for ever, since they follow from integer arithmetic alone.

Reference: Charikar, Chen & Farach-Colton, "Finding frequent items in data streams", ICALP (2002);
Weinberger et al., "Feature hashing for large scale multitask learning", ICML (2009).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from si_stream.compiling import compiled

BINS = 128


class Sketch:
    """Args:
        input_shape: of one input.

    Example:
        >>> sketch = Sketch((28, 28))
        >>> sketch.of(np.zeros((5, 28, 28), np.uint8)).shape
        (5, 128)
    """

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        elements = math.prod(input_shape)
        self.size = size_of(input_shape)
        drawn = _mixed(np.arange(elements, dtype=np.uint64))
        bins = (drawn % np.uint64(self.size)).astype(np.intp)
        bins[: self.size] = np.arange(self.size)  # none is empty, and a small input is itself
        self._bins, self._signs = bins, np.where((drawn >> np.uint64(63)) == 1, -1.0, 1.0)

    def of(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """``[n, *input_shape]``, uint8 (as a share of 255) or float32 → ``[n, size]``."""
        sketches = np.zeros((len(inputs), self.size))
        _add_up(inputs.reshape(len(inputs), -1), self._bins, self._signs, sketches)
        return sketches / 255 if inputs.dtype == np.uint8 else sketches


def size_of(input_shape: tuple[int, ...]) -> int:
    """How many numbers the sketch of such an input has."""
    return min(BINS, math.prod(input_shape))


@compiled
def _add_up(
    inputs: npt.NDArray[Any],
    bins: npt.NDArray[np.intp],
    signs: npt.NDArray[np.float64],
    sketches: npt.NDArray[np.float64],
) -> None:
    for n in range(len(inputs)):
        for element in range(len(bins)):
            sketches[n, bins[element]] += signs[element] * inputs[n, element]


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each number's bits, mixed (SplitMix64: Steele, Lea & Flood, OOPSLA 2014)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
