"""A person's own images and labels, from one `.npz` file, checked before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from si_stream.errors import DataError
from simulators.datasets import Dataset, Images, Labels, stratified_test_rows
from simulators.npz import read_arrays


def load_npz(path: Path) -> Dataset:
    """The data set in ``path``.

    The file holds ``images`` ``[n, ...]`` uint8 or float32 and ``labels`` ``[n]`` integers, and
    may hold ``test_images`` and ``test_labels`` alike; without them a tenth of each class is kept
    apart to test on, always the same. The classes are named by their labels.

    Raises:
        DataError: the file cannot be read, or an array is missing or unfit.
    """
    arrays = read_arrays(path, ("images", "labels", "test_images", "test_labels"))
    images, labels = _checked(path, arrays, "images", "labels")
    if "test_images" in arrays or "test_labels" in arrays:
        test_images, test_labels = _checked(path, arrays, "test_images", "test_labels")
        if test_images.dtype != images.dtype or test_images.shape[1:] != images.shape[1:]:
            raise DataError(
                f"{path}: test_images are {test_images.dtype} {list(test_images.shape[1:])} each, "
                f"images are {images.dtype} {list(images.shape[1:])}: make them alike"
            )
    else:
        test = stratified_test_rows(labels, share=0.1, seed=0)
        test_images, test_labels = images[test], labels[test]
        images, labels = images[~test], labels[~test]
    numbers = np.unique(labels)
    if unknown := sorted(set(test_labels.tolist()) - set(numbers.tolist())):
        raise DataError(f"{path}: test_labels has {unknown[0]}, which labels lacks: leave it out")
    return Dataset(
        name=path.stem,
        train_images=images,
        train_labels=np.searchsorted(numbers, labels).astype(np.int64),
        test_images=test_images,
        test_labels=np.searchsorted(numbers, test_labels).astype(np.int64),
        class_names=tuple(str(number) for number in numbers),
    )


def _checked(
    path: Path, arrays: dict[str, npt.NDArray[Any]], images_name: str, labels_name: str
) -> tuple[Images, Labels]:
    for name in (images_name, labels_name):
        if name not in arrays:
            raise DataError(f"{path} has no array {name!r}: add it with numpy.savez")
    images, labels = arrays[images_name], arrays[labels_name]
    if images.dtype not in (np.uint8, np.float32):
        raise DataError(
            f"{path}: {images_name} is {images.dtype}, not uint8 or float32: convert it with astype"
        )
    if images.ndim < 2 or images.size == 0:
        raise DataError(
            f"{path}: {images_name} has shape {list(images.shape)}: it needs one image or more, "
            f"each of one dimension or more"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: {labels_name} is {labels.dtype} {list(labels.shape)}: it needs one integer "
            f"for each of the {len(images)} {images_name}"
        )
    if images.dtype == np.float32 and not np.isfinite(images).all():
        row = int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))[0])
        raise DataError(
            f"{path}: {images_name}[{row}] holds NaN or infinity: leave it out or mend it"
        )
    return images, labels.astype(np.int64)
