"""Sketches: small, the same for ever, and apart where their inputs are."""

from __future__ import annotations

import hashlib

import numpy as np

from si_stream.boundaries.sketch import BINS, Sketch


def images(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def test_the_bins_of_a_shape_never_change() -> None:
    sketches = Sketch((28, 28)).of(np.eye(784, dtype=np.float32).reshape(784, 28, 28))
    assert sketches.shape == (784, BINS)
    digest = hashlib.sha256(sketches.astype(np.int8).tobytes()).hexdigest()
    assert digest == ("7a5df71996d69444afefb100e49c81964aeb4ebdfa1e4b906a6244cbd458cf6b")


def test_each_element_goes_into_one_bin_and_no_bin_is_empty() -> None:
    sketches = Sketch((28, 28)).of(np.eye(784, dtype=np.float32).reshape(784, 28, 28))
    assert (np.abs(sketches).sum(1) == 1).all()
    assert (np.abs(sketches).sum(0) >= 1).all()
    assert np.abs(sketches).sum(0).max() < 20


def test_a_small_input_is_its_own_sketch_but_for_signs() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert (np.abs(Sketch((4,)).of(values)) == values).all()


def test_uint8_is_a_share_of_255() -> None:
    whole = images(5)
    scaled = (whole / 255).astype(np.float32)
    assert np.allclose(Sketch((28, 28)).of(whole), Sketch((28, 28)).of(scaled), atol=1e-5)


def test_distances_survive() -> None:
    first, second = images(50).astype(np.float32), images(50, seed=1).astype(np.float32)
    sketch = Sketch((28, 28))
    there = ((first - second) ** 2).reshape(50, -1).sum(1).mean()
    here = ((sketch.of(first) - sketch.of(second)) ** 2).sum(1).mean()
    assert abs(here / there - 1) < 0.1


def test_samples_sketched_one_by_one_are_the_same() -> None:
    sketch, whole = Sketch((28, 28)), images(9)
    assert (
        sketch.of(whole) == np.concatenate([sketch.of(whole[n : n + 1]) for n in range(9)])
    ).all()
