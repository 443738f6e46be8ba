"""A small data set whose every image tells which one it is."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.datasets import Dataset


def numbered_images(first: int, count: int, pixels: int = 12) -> np.ndarray:
    """``[count, 3, pixels // 3]`` uint8: the image's number in two bytes, then 2, 3, 4, …"""
    images = np.tile(np.arange(pixels, dtype=np.uint8), (count, 1))
    numbers = np.arange(first, first + count)
    images[:, 0], images[:, 1] = numbers // 256, numbers % 256
    return images.reshape(count, 3, pixels // 3)


@pytest.fixture
def tiny_dataset() -> Dataset:
    """300 training and 60 test images, numbered 0 to 359, of six classes a to f in turn."""
    return Dataset(
        name="tiny",
        train_images=numbered_images(0, 300),
        train_labels=np.arange(300) % 6,
        test_images=numbered_images(300, 60),
        test_labels=np.arange(60) % 6,
        class_names=tuple("abcdef"),
    )
