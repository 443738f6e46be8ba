from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from si_stream.errors import DataError
from simulators.cifar import load_cifar10, load_cifar100


def write_cifar100(root: Path, **changed: np.ndarray) -> None:
    """200 images as 100 classes of 2: red as the image's number, green 1, blue 2."""
    images = np.zeros((200, 32, 32, 3), np.uint8) + np.array([0, 1, 2], np.uint8)
    images[..., 0] = np.arange(200)[:, None, None]
    arrays: dict[str, Any] = {"images": images, "labels": np.arange(200) % 100} | changed
    (root / "cifar-100").mkdir(exist_ok=True)
    for part in ("train", "test"):
        np.savez(root / "cifar-100" / f"{part}.npz", **arrays)


def test_cifar_100_is_read_from_plain_arrays_channel_first(tmp_path: Path) -> None:
    write_cifar100(tmp_path, label_names=np.array([f"class {number}" for number in range(100)]))
    cifar = load_cifar100(tmp_path)
    assert cifar.train_images.shape == (200, 3, 32, 32)
    assert cifar.train_images.dtype == np.uint8
    assert cifar.train_images.flags.c_contiguous
    assert cifar.train_images[:, 0, 7, 9].tolist() == list(range(200))
    assert cifar.train_images[5, 1:, 0, 0].tolist() == [1, 2]
    assert cifar.test_labels.tolist() == [*range(100), *range(100)]
    assert cifar.class_names[42] == "class 42"


def test_cifar_100_without_names_is_named_by_number(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    assert load_cifar100(tmp_path).class_names[:2] == ("0", "1")


@pytest.mark.parametrize(
    "changed",
    [
        {"images": np.zeros((200, 3, 32, 32), np.uint8)},
        {"images": np.zeros((200, 32, 32, 3), np.float32)},
        {"labels": np.arange(199)},
        {"labels": np.arange(200)},
        {"labels": np.arange(200) % 100 - 1},
        {"labels": np.zeros(200)},
        {"label_names": np.array(["one", "two"])},
    ],
)
def test_arrays_that_are_not_cifar_100_are_refused(
    tmp_path: Path, changed: dict[str, np.ndarray]
) -> None:
    write_cifar100(tmp_path, **changed)
    with pytest.raises(DataError, match=r"train\.npz does not hold CIFAR-100"):
        load_cifar100(tmp_path)


@pytest.mark.parametrize("keep_bytes", [0, 100, 50_000])
def test_a_truncated_file_is_named(tmp_path: Path, keep_bytes: int) -> None:
    write_cifar100(tmp_path)
    path = tmp_path / "cifar-100" / "test.npz"
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(DataError, match=r"test\.npz cannot be read"):
        load_cifar100(tmp_path)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar-100").mkdir()
    for part in ("train", "test"):
        np.savez(tmp_path / "cifar-100" / f"{part}.npz", images=np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="lacks an array images or labels"):
        load_cifar100(tmp_path)


def test_an_incomplete_cifar_10_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match="cifar-10-batches-py is incomplete"):
        load_cifar10(tmp_path)


def test_the_real_cifar_sets_have_the_published_means(cifar_root: Path) -> None:
    ten, hundred = load_cifar10(cifar_root), load_cifar100(cifar_root)
    for cifar, classes in ((ten, 10), (hundred, 100)):
        assert cifar.train_images.shape == (50_000, 3, 32, 32)
        assert cifar.test_images.shape == (10_000, 3, 32, 32)
        assert set(np.bincount(cifar.train_labels)) == {50_000 // classes}
        assert len(cifar.class_names) == classes
    assert ten.class_names[3] == "cat"
    means = (ten.train_images.mean(axis=(0, 2, 3)), hundred.train_images.mean(axis=(0, 2, 3)))
    assert means[0] / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert means[1] / 255 == pytest.approx([0.5071, 0.4866, 0.4409], abs=1e-4)
