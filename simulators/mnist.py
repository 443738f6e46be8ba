"""MNIST: 60,000 and 10,000 handwritten digits of 28 × 28 pixels.

Reads the IDX files itself, unpacked or gzipped, as they lie where torchvision keeps them:
importing torchvision takes seconds, reading the files a tenth of one. torchvision downloads
them where they are missing.

Reference: LeCun, Cortes & Burges, "The MNIST database of handwritten digits" (1998).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from si_stream.errors import DataError
from simulators.datasets import Dataset
from simulators.downloads import fetch

_FOLDER = "MNIST/raw"


def load_mnist(directory: Path) -> Dataset:
    """MNIST from ``directory/MNIST/raw``: images ``[n, 28, 28]`` uint8.

    Raises:
        DataError: it is neither there nor can be downloaded, or a file of it is damaged.
    """
    if not all(_find(directory, part, kind) for part in ("train", "t10k") for kind in _KINDS):
        fetch("MNIST", _FOLDER, directory)
    arrays = [_read(directory, part, kind) for part in ("train", "t10k") for kind in _KINDS]
    for images, labels in (arrays[:2], arrays[2:]):
        if (
            images.shape[1:] != (28, 28)
            or labels.shape != images.shape[:1]
            or labels.max(initial=0) > 9
        ):
            raise DataError(
                f"{directory / _FOLDER} does not hold MNIST (images {images.shape}, labels "
                f"{labels.shape}): delete it and fetch it again"
            )
    train_images, train_labels, test_images, test_labels = arrays
    return Dataset(
        name="MNIST",
        train_images=train_images,
        train_labels=train_labels.astype(np.int64),
        test_images=test_images,
        test_labels=test_labels.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
    )


_KINDS = ("images-idx3", "labels-idx1")


def _find(directory: Path, part: str, kind: str) -> Path | None:
    plain = directory / _FOLDER / f"{part}-{kind}-ubyte"
    both = (plain, plain.with_name(plain.name + ".gz"))
    return next((path for path in both if path.is_file()), None)


def _read(directory: Path, part: str, kind: str) -> npt.NDArray[np.uint8]:
    path = _find(directory, part, kind)
    if path is None:
        raise DataError(f"{directory / _FOLDER} has no {part}-{kind}-ubyte: fetch it again")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return _parse_idx(content, dimensions=int(kind[-1]))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it and fetch it again") from error


def _parse_idx(content: bytes, dimensions: int) -> npt.NDArray[np.uint8]:
    """IDX: two zero bytes, the type (8: uint8), the number of dimensions, each as a big-endian
    uint32, then the values."""
    header_bytes = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header_bytes:
        raise ValueError(f"it is no IDX file of {dimensions} dimensions of bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header_bytes])
    if len(content) != header_bytes + math.prod(shape):
        raise ValueError(f"it has {len(content)} bytes, not {header_bytes + math.prod(shape)}")
    return np.frombuffer(content, dtype=np.uint8, offset=header_bytes).reshape(shape)
