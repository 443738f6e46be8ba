"""Changes of images: what makes a task of its own of the images of another.

Each takes images ``[n, *shape]`` and gives new ones of the same shape and dtype. The same images
always give the same bytes, one by one or many at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from si_stream.errors import DataError
from simulators.datasets import Images

Change = Callable[[Images], Images]


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """The pixels of every image in another order: ``pixels[i]`` is where pixel i is taken from.

    Reference: Goodfellow et al., "An Empirical Investigation of Catastrophic Forgetting in
    Gradient-Based Neural Networks" (2013).
    """

    pixels: npt.NDArray[np.intp]

    def __call__(self, images: Images) -> Images:
        flat = images.reshape(len(images), self.pixels.size)
        return np.take(flat, self.pixels, axis=1).reshape(images.shape)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Images ``[n, …, height, width]`` turned counter-clockwise about their centre.

    Between pixels it is bilinear; what turns in from outside is 0.

    Reference: Lopez-Paz & Ranzato, "Gradient Episodic Memory for Continual Learning" (2017), whose
    rotated MNIST draws its angles at random.

    Raises:
        DataError: the images have no height and width.
    """

    degrees: float

    def __call__(self, images: Images) -> Images:
        if images.ndim < 3:
            raise DataError(f"an input of shape {list(images.shape[1:])} cannot be rotated")
        height, width = images.shape[-2:]
        angle = np.deg2rad(self.degrees)
        y, x = np.mgrid[:height, :width].astype(float)
        y -= (height - 1) / 2
        x -= (width - 1) / 2
        # Rounded, so that a right angle takes whole pixels and every machine the same weights.
        source_y = np.round(y * np.cos(angle) + x * np.sin(angle) + (height - 1) / 2, 9)
        source_x = np.round(x * np.cos(angle) - y * np.sin(angle) + (width - 1) / 2, 9)
        top, left = np.floor(source_y).astype(int), np.floor(source_x).astype(int)
        down, right = source_y - top, source_x - left
        turned = np.zeros(images.shape)
        for row, row_share in ((top, 1 - down), (top + 1, down)):
            for column, column_share in ((left, 1 - right), (left + 1, right)):
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                pixels = images[..., row.clip(0, height - 1), column.clip(0, width - 1)]
                turned += pixels * (row_share * column_share * inside)
        return _as_dtype(turned, images)


@dataclass(frozen=True, slots=True)
class Inversion:
    """Dark for light: 255 - x.

    Raises:
        DataError: the images are not uint8, so that their lightest value is unknown.
    """

    def __call__(self, images: Images) -> Images:
        if images.dtype != np.uint8:
            raise DataError(f"images of {images.dtype} cannot be inverted: only uint8 can")
        return 255 - images


@dataclass(frozen=True, slots=True)
class Contrast:
    """Each image drawn towards the mean of its pixels, channel by channel: mean + share·(x - mean).

    Args:
        share: of the contrast that stays, 0 to 1.

    Reference: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations" (2019).
    """

    share: float

    def __call__(self, images: Images) -> Images:
        axes = tuple(range(max(1, images.ndim - 2), images.ndim))
        mean = images.mean(axis=axes, keepdims=True, dtype=np.float64)
        return _as_dtype(mean + self.share * (images - mean), images)


def _as_dtype(values: npt.NDArray[np.float64], images: Images) -> Images:
    rounded = np.rint(values) if images.dtype == np.uint8 else values
    return rounded.astype(images.dtype)
