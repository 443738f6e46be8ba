"""A data set in memory: images and labels for training and for testing, never mixed.

Labels are numbers that index `class_names`; images keep their natural shape, channel first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Labelled images, whole, as they came.

    Args:
        name: what it is called in messages to people.
        train_images: ``[n, *shape]`` uint8 or float32, colour images channel first.
        train_labels: ``[n]`` int64, each below ``len(class_names)``.
        test_images: ``[m, *shape]``.
        test_labels: ``[m]`` int64.
        class_names: what each label stands for, for people to read.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]


def data_directory() -> Path:
    """Where data sets lie: ``SI_STREAM_DATA`` if set, else the user's cache directory."""
    if configured := os.environ.get("SI_STREAM_DATA"):
        return Path(configured)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "si-stream" / "data"


def stratified_test_rows(labels: Labels, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """A mask over the rows that keeps ``share`` of each class apart as its test set.

    Each class gives at least one row to the test set and keeps at least one for training; a
    class of a single row keeps it for training. The same labels and seed give the same mask.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(len(rows) * share)), len(rows) - 1)
        mask[rows[:count]] = True
    return mask
