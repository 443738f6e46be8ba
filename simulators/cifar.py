"""CIFAR-10 and CIFAR-100: 50,000 and 10,000 colour images of 32 × 32 pixels each.

Read as torchvision lays them out, by torchvision, which checks the files' checksums before
it unpickles them; CIFAR-100 also from plain arrays, `cifar-100/{train,test}.npz`.

Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from si_stream.errors import DataError
from simulators.datasets import Dataset, Images, Labels
from simulators.downloads import fetch
from simulators.npz import read_arrays


def load_cifar10(directory: Path) -> Dataset:
    """CIFAR-10 from ``directory/cifar-10-batches-py``: images ``[n, 3, 32, 32]`` uint8.

    Raises:
        DataError: it is neither there nor can be downloaded, or a file of it is damaged.
    """
    return _load_through_torchvision("CIFAR10", "cifar-10-batches-py", directory)


def load_cifar100(directory: Path) -> Dataset:
    """CIFAR-100 with its 100 fine classes: images ``[n, 3, 32, 32]`` uint8.

    From ``directory/cifar-100/train.npz`` and ``test.npz`` (``images`` uint8 ``[n, 32, 32, 3]``,
    ``labels`` ``[n]``, and ``label_names`` if there) or else from ``directory/cifar-100-python``.

    Raises:
        DataError: it is neither there nor can be downloaded, or a file of it is damaged.
    """
    arrays = directory / "cifar-100"
    if not (arrays / "train.npz").is_file() or not (arrays / "test.npz").is_file():
        return _load_through_torchvision("CIFAR100", "cifar-100-python", directory)
    train_images, train_labels, class_names = _read(arrays / "train.npz")
    test_images, test_labels, _ = _read(arrays / "test.npz")
    return Dataset("CIFAR-100", train_images, train_labels, test_images, test_labels, class_names)


def _load_through_torchvision(
    loader: Literal["CIFAR10", "CIFAR100"], folder: str, directory: Path
) -> Dataset:
    if not (directory / folder).is_dir():
        fetch(loader, folder, directory)
    try:
        from torchvision import datasets  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(
            f"{directory / folder} is read through torchvision, which is not installed: install it"
        ) from error
    try:
        parts = [getattr(datasets, loader)(directory, train=train) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{directory / folder} is incomplete or fails torchvision's checksums: delete it and "
            f"fetch it again"
        ) from error
    train, test = parts
    return Dataset(
        name=f"CIFAR-{loader.removeprefix('CIFAR')}",
        train_images=_channel_first(train.data),
        train_labels=np.asarray(train.targets, dtype=np.int64),
        test_images=_channel_first(test.data),
        test_labels=np.asarray(test.targets, dtype=np.int64),
        class_names=tuple(train.classes),
    )


def _read(path: Path) -> tuple[Images, Labels, tuple[str, ...]]:
    arrays = read_arrays(path, ("images", "labels", "label_names"))
    if "images" not in arrays or "labels" not in arrays:
        raise DataError(f"{path} lacks an array images or labels: write it again with both")
    images, labels = arrays["images"], arrays["labels"]
    names = np.atleast_1d(arrays.get("label_names", np.arange(100)))
    if (
        images.dtype != np.uint8
        or images.shape[1:] != (32, 32, 3)
        or labels.shape != images.shape[:1]
        or not np.issubdtype(labels.dtype, np.integer)
        or not 0 <= labels.min(initial=0) <= labels.max(initial=0) < len(names) == 100
    ):
        raise DataError(
            f"{path} does not hold CIFAR-100: it needs images uint8 [n, 32, 32, 3] and labels [n] "
            f"from 0 to 99, and has images {images.dtype} {list(images.shape)} and labels "
            f"{labels.dtype} {list(labels.shape)}"
        )
    return _channel_first(images), labels.astype(np.int64), tuple(str(name) for name in names)


def _channel_first(images: Images) -> Images:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
