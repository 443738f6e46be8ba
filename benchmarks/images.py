"""Images to learn from, of MNIST's size and made here, so that no benchmark needs a download.

As in MNIST most pixels are zero and some always are, and classes overlap, so that the gradients
do not die away.
"""

from __future__ import annotations

import numpy as np

from simulators.datasets import Dataset, Images, Labels
from simulators.scenarios import Scenario, split

CLASSES = tuple(str(number) for number in range(10))


def make_images(train: int = 60_000, test: int = 10_000) -> Dataset:
    """Ten classes of 28 × 28 pixels; the same numbers give the same images."""
    random = np.random.default_rng(0)
    shapes = np.zeros((10, 28, 28), np.float32)
    shapes[:, 4:24, 4:24] = random.random((10, 20, 20)) < 0.3

    def draw(count: int) -> tuple[Images, Labels]:
        labels = np.arange(count) % 10
        true = np.where(random.random(count) < 0.02, random.integers(0, 10, count), labels)
        images = np.empty((count, 28, 28), np.uint8)
        for first in range(0, count, 1000):
            part = shapes[true[first : first + 1000]]
            kept = random.random(part.shape, np.float32) < 0.6
            images[first : first + 1000] = 255 * part * kept
        return images, labels

    return Dataset("drawn images", *draw(train), *draw(test), CLASSES)


def split_images(dataset: Dataset) -> Scenario:
    """Five tasks of two classes, as split MNIST."""
    return split("split-images", dataset, [CLASSES[i : i + 2] for i in range(0, 10, 2)], "images")


def whole_images(dataset: Dataset) -> Scenario:
    """One task of all ten classes."""
    return split("whole-images", dataset, [CLASSES], "images")
