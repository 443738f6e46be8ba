from __future__ import annotations

import numpy as np

from simulators.digits import load_digits


def test_the_bundled_digits_are_whole_and_split_four_to_one() -> None:
    digits = load_digits()
    assert len(digits.train_images) + len(digits.test_images) == 1797
    shares = np.bincount(digits.test_labels) / (
        np.bincount(digits.test_labels) + np.bincount(digits.train_labels)
    )
    assert np.allclose(shares, 0.2, atol=0.005)


def test_the_bundled_values_are_spread_over_a_byte() -> None:
    images = load_digits().train_images
    assert images.dtype == np.uint8
    assert images.shape[1:] == (8, 8)
    assert set(np.unique(images)) == {round(value * 255 / 16) for value in range(17)}
