from __future__ import annotations

import pytest

from simulators.reproductions.spread import rounded, standard_deviation, standard_error


def test_a_mean_of_four_is_known_twice_as_well_as_one() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    assert standard_deviation(values) == pytest.approx((5 / 3) ** 0.5)
    assert standard_error(values) == pytest.approx((5 / 3) ** 0.5 / 2)


def test_a_single_value_has_no_spread() -> None:
    assert standard_deviation([1.0]) is standard_error([1.0]) is rounded(None) is None
    assert rounded(0.1234567) == 0.12346
