"""A small version of `make soak`: the figures are taken, and nobody judges them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import judged, soaked

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_the_service_learns_and_answers_under_load_while_it_is_measured(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    figures = soaked(tmp_path, seconds=8, interval_seconds=0.5, kafka=False)
    assert figures["consolidations"] > 0
    assert figures["predictions"] > 0
    assert figures["predictions_refused"] == 0
    assert figures["bad_messages_sent"] > 0
    assert len(figures["judged"]) == 6
    assert all(row["learner"]["rss_bytes"] > 10**7 for row in figures["series"])


def test_memory_that_goes_on_growing_is_not_flat() -> None:
    still = {"rss_bytes": 400 * 2**20, "threads": 9, "descriptors": 30}
    rows = [
        {"learner": still | {"rss_bytes": 400 * 2**20 + n * 2**20}, "predictor": still}
        for n in range(100)
    ]
    assert [name for name, verdict in judged(rows).items() if not verdict["flat"]] == [
        "learner_rss_bytes"
    ]
