from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from si_stream.errors import DataError
from simulators.mnist import load_mnist

TRAIN_IMAGES = "MNIST/raw/train-images-idx3-ubyte"


def idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A directory with 30 training and 10 test images, in MNIST's format."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 10)):
        images = np.arange(count)[:, None, None] + np.zeros((28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))
    return tmp_path


def test_images_and_labels_are_read_as_they_were_written(small_mnist: Path) -> None:
    mnist = load_mnist(small_mnist)
    assert mnist.train_images.dtype == np.uint8
    assert mnist.train_images.shape == (30, 28, 28)
    assert mnist.train_images[:, 5, 5].tolist() == list(range(30))
    assert mnist.train_labels.dtype == np.int64
    assert mnist.test_labels.tolist() == list(range(10))
    assert mnist.class_names == tuple("0123456789")


def test_gzipped_files_are_read_as_they_are(small_mnist: Path) -> None:
    plain = load_mnist(small_mnist)
    for path in (small_mnist / "MNIST" / "raw").iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(load_mnist(small_mnist).train_images, plain.train_images)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _content: b"",
        lambda content: content[:3],
        lambda content: content[:9],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"\0\0\x0d" + content[3:],
        lambda content: b"\0\0\x08\xff" + content[4:],
    ],
)
def test_a_damaged_file_is_named(small_mnist: Path, damage: object) -> None:
    path = small_mnist / TRAIN_IMAGES
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load_mnist(small_mnist)


def test_a_truncated_gzip_file_is_named(small_mnist: Path) -> None:
    path = small_mnist / TRAIN_IMAGES
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
        load_mnist(small_mnist)


def test_files_of_other_images_are_not_taken_for_mnist(small_mnist: Path) -> None:
    (small_mnist / TRAIN_IMAGES).write_bytes(idx(np.zeros((30, 8, 8))))
    with pytest.raises(DataError, match="does not hold MNIST"):
        load_mnist(small_mnist)


def test_the_real_mnist_has_the_published_counts(mnist_root: Path) -> None:
    mnist = load_mnist(mnist_root)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.train_labels).tolist() == counts
    assert mnist.test_images.shape == (10_000, 28, 28)
    assert mnist.train_images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
