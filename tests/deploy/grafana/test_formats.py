"""Numbers in pictures of the dashboard read as they do in Grafana."""

from __future__ import annotations

import math

import pytest

from deploy.grafana.formats import text_of


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "percentunit", "50%"),
        (0.12345, "percentunit", "12.3%"),
        (-0.001, "percentunit", "-0.1%"),
        (0, "s", "0"),
        (0.00025, "s", "250 µs"),
        (0.25, "s", "250 ms"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 hour"),
        (1536, "bytes", "1.5 KiB"),
        (958 * 2**20, "bytes", "958 MiB"),
        (12, "cps", "12/s"),
        (1200, "cps", "1.2 K/s"),
        (3, "short", "3"),
        (2_500_000, "short", "2.5 Mil"),
        (math.nan, "short", "NaN"),
    ],
)
def test_a_value_is_written_with_its_unit(value: float, unit: str, text: str) -> None:
    assert text_of(value, unit) == text


def test_decimals_are_as_many_as_the_panel_asks_for() -> None:
    assert text_of(0.12345, "percentunit", decimals=2) == "12.35%"
