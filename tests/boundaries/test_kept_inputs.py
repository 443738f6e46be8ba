"""The last inputs: as many as there is room for, found by the numbers of their samples."""

from __future__ import annotations

import numpy as np
import pytest

from si_stream.boundaries.kept_inputs import KEPT_BYTES, KeptInputs


def numbered(first: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Inputs that say which sample they are."""
    return np.arange(first, first + count, dtype=np.float32)[:, None].repeat(3, 1)


@pytest.mark.parametrize("batch", [1, 3, 10, 25])
def test_each_of_the_last_is_found_by_its_number_however_they_came(batch: int) -> None:
    kept = KeptInputs(10)
    for first in range(7, 107, batch):
        kept.add(numbered(first, batch), first)
        assert kept.end == first + batch
        assert kept.first == max(7, kept.end - 10)
        assert len(kept) == kept.end - kept.first
        assert np.array_equal(kept.latest(), numbered(kept.first, len(kept)))
        some = np.array([kept.end - 1, kept.first])
        assert kept.at(some)[:, 0].tolist() == some.tolist()


def test_what_is_kept_does_not_change_when_the_batch_does() -> None:
    kept, batch = KeptInputs(10), numbered(0, 4)
    kept.add(batch, 0)
    latest = kept.latest()
    batch[:] = -1
    kept.add(numbered(4, 10), 4)
    assert np.array_equal(latest, numbered(0, 4))


def test_cleared_it_keeps_nothing_from_before() -> None:
    kept = KeptInputs(10)
    kept.add(numbered(0, 8), 0)
    kept.clear()
    assert len(kept) == 0
    kept.add(numbered(3, 2), 3)
    assert np.array_equal(kept.latest(), numbered(3, 2))


def test_of_large_inputs_fewer_are_kept_and_of_one_larger_than_all_room_none() -> None:
    for floats, capacity in ((KEPT_BYTES // 4 // 2, 2), (KEPT_BYTES // 4 + 1, 0)):
        kept = KeptInputs(10)
        for first in range(3):
            kept.add(np.full((1, floats), first, np.float32), first)
        assert kept.capacity == len(kept) == capacity
        assert kept.end == 3
