"""What becomes of a test where a real part that it needs is missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """The test is skipped, or fails where ``SI_STREAM_REQUIRE_REAL=1`` asks for real parts."""
    if os.environ.get("SI_STREAM_REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
