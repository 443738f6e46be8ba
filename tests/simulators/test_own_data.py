from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from si_stream.errors import DataError
from simulators.own_data import load_npz

IMAGES = np.arange(40 * 6, dtype=np.uint8).reshape(40, 2, 3)
LABELS = np.repeat([3, 7], 20)


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_tenth_of_each_class_is_kept_apart_to_test_on(tmp_path: Path) -> None:
    data = load_npz(save(tmp_path / "mine.npz", images=IMAGES, labels=LABELS))
    assert np.bincount(data.train_labels).tolist() == [18, 18]
    assert np.bincount(data.test_labels).tolist() == [2, 2]
    both = np.concatenate([data.train_images, data.test_images])
    assert sorted(both.tolist()) == sorted(IMAGES.tolist())
    assert data.name == "mine"
    assert data.class_names == ("3", "7")


def test_a_test_set_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    path = save(
        tmp_path / "mine.npz",
        images=IMAGES,
        labels=LABELS,
        test_images=IMAGES[:5],
        test_labels=LABELS[-5:],
    )
    data = load_npz(path)
    assert len(data.train_images) == 40
    assert data.test_labels.tolist() == [1] * 5


def test_float32_images_are_taken_as_they_are(tmp_path: Path) -> None:
    images = IMAGES.astype(np.float32) / 7
    data = load_npz(save(tmp_path / "mine.npz", images=images, labels=LABELS))
    assert data.train_images.dtype == np.float32
    assert data.train_images.max() == images.max()


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"labels": LABELS}, "no array 'images'"),
        ({"images": IMAGES}, "no array 'labels'"),
        ({"images": IMAGES.astype(np.float64)}, "images is float64, not uint8 or float32"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "one image or more"),
        ({"images": np.zeros(40, np.uint8)}, "of one dimension or more"),
        ({"labels": LABELS[:39]}, "one integer for each of the 40 images"),
        ({"labels": LABELS.astype(np.float32)}, "one integer for each"),
        ({"labels": np.eye(40, dtype=np.int64)}, "one integer for each"),
        ({"test_images": IMAGES}, "no array 'test_labels'"),
        ({"test_labels": LABELS}, "no array 'test_images'"),
        ({"test_images": IMAGES[:, :1], "test_labels": LABELS}, "make them alike"),
        ({"test_images": IMAGES, "test_labels": LABELS + 1}, "test_labels has 4"),
    ],
)
def test_an_unfit_array_is_named_with_what_to_do(
    tmp_path: Path, arrays: dict[str, np.ndarray], complaint: str
) -> None:
    whole = {"images": IMAGES, "labels": LABELS}
    if len(arrays) == 1 and "no array" in complaint and "test" not in complaint:
        whole = {}
    with pytest.raises(DataError, match=complaint):
        load_npz(save(tmp_path / "mine.npz", **(whole | arrays)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    images = IMAGES.astype(np.float32)
    images[13, 1, 2] = value
    with pytest.raises(DataError, match=r"images\[13\] holds NaN or infinity"):
        load_npz(save(tmp_path / "mine.npz", images=images, labels=LABELS))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz does not exist"):
        load_npz(tmp_path / "none.npz")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}] * 40, dtype=object)
    with pytest.raises(DataError, match="plain arrays"):
        load_npz(save(tmp_path / "mine.npz", images=objects, labels=LABELS))


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    text, array, archive = (tmp_path / name for name in ("text.npz", "array.npz", "other.npz"))
    text.write_text("not an archive")
    with array.open("wb") as file:
        np.save(file, IMAGES)
    with zipfile.ZipFile(archive, "w") as file_in_zip:
        file_in_zip.writestr("readme.txt", "no arrays")
    for path in (text, array, tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            load_npz(path)
    with pytest.raises(DataError, match="no array 'images'"):
        load_npz(archive)
