"""Quantities as people read them."""

from __future__ import annotations


def megabytes(count: float) -> str:
    """
    >>> megabytes(1_500_000), megabytes(2.5e9)
    ('1.5 MB', '2.5 GB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def seconds(count: float) -> str:
    """
    >>> seconds(0.4), seconds(90), seconds(7200), seconds(200_000), seconds(2e6)
    ('0.4 s', '90 s', '120 min', '56 h', '23 days')
    """
    if count < 10:
        return f"{count:.1f} s"
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if count < 200 * size:
            return f"{count / size:.0f} {unit}"
    return f"{count / 86400:.0f} days"
