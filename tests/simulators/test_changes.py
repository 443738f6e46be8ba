from __future__ import annotations

import numpy as np
import pytest

from si_stream.errors import DataError
from simulators.changes import Change, Contrast, Inversion, Permutation, Rotation
from simulators.digits import load_digits

IMAGES = load_digits().train_images[:50]
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 9), dtype=np.uint8)
EVERY: list[Change] = [
    Permutation(np.random.default_rng(0).permutation(64)),
    Rotation(45),
    Inversion(),
    Contrast(0.4),
]


@pytest.mark.parametrize("change", EVERY, ids=lambda change: type(change).__name__)
def test_a_change_keeps_shape_and_dtype_and_treats_each_image_by_itself(change: Change) -> None:
    before = IMAGES.copy()
    together = change(IMAGES)
    assert together.shape == IMAGES.shape
    assert together.dtype == np.uint8
    assert np.array_equal(together, np.concatenate([change(image[None]) for image in IMAGES]))
    assert np.array_equal(IMAGES, before)
    assert not np.array_equal(together, before)
    assert len(change(IMAGES[:0])) == 0


@pytest.mark.parametrize("images", [IMAGES, COLOUR, COLOUR / np.float32(255)])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_rotation_by_right_angles_is_exact(images: np.ndarray, quarters: int) -> None:
    turned = Rotation(90 * quarters)(images)
    assert np.array_equal(turned, np.rot90(images, quarters, axes=(-2, -1)))


def test_a_rotation_turns_counter_clockwise_and_what_comes_from_outside_is_black() -> None:
    image = np.zeros((1, 5, 5), np.float32)
    image[0, 2, 4] = 1  # to the right of the centre
    turned = Rotation(45)(image)[0]
    rows, columns = np.nonzero(turned > 0.2)
    assert (rows < 2).all()
    assert (columns > 2).all()
    assert Rotation(45)(np.full((1, 9, 9), 200, np.uint8))[0, 0, 0] == 0
    assert Rotation(45)(np.full((1, 9, 9), 200, np.uint8))[0, 4, 4] == 200


def test_a_rotation_there_and_back_is_nearly_the_same() -> None:
    smooth = np.zeros((1, 28, 28), np.float32)
    smooth[0, 8:20, 8:20] = np.outer(np.hanning(12), np.hanning(12))
    back = Rotation(-30)(Rotation(30)(smooth))
    assert np.abs(back - smooth).max() < 0.1


def test_inputs_that_are_no_images_are_not_rotated() -> None:
    with pytest.raises(DataError, match=r"shape \[5\] cannot be rotated"):
        Rotation(45)(np.zeros((3, 5), np.uint8))


def test_an_inversion_takes_dark_for_light_and_back() -> None:
    assert np.array_equal(Inversion()(IMAGES).astype(int), 255 - IMAGES.astype(int))
    assert np.array_equal(Inversion()(Inversion()(IMAGES)), IMAGES)


def test_images_of_unknown_range_are_not_inverted() -> None:
    with pytest.raises(DataError, match="float32 cannot be inverted"):
        Inversion()(np.zeros((1, 2, 2), np.float32))


@pytest.mark.parametrize("images", [COLOUR, COLOUR / np.float32(255)])
def test_contrast_goes_and_the_mean_of_each_channel_stays(images: np.ndarray) -> None:
    faint = Contrast(0.25)(images)
    assert np.allclose(faint.mean((2, 3)), images.mean((2, 3)), atol=0.5)
    assert np.allclose(faint.std((2, 3)), images.std((2, 3)) / 4, rtol=0.02)
    assert np.array_equal(Contrast(1)(images), images)
