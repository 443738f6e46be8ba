"""A learner whose HTTP server ends by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.processes import Child
from tests.streams import settings


def test_it_stops_in_good_order_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('no loop today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # as of an installation that is broken
    broker = f"embedded:{tmp_path}/broker.sqlite"
    chosen = settings(tmp_path / "model", stream={"broker": broker}, learner={"metrics_port": 0})
    lines: list[str] = []
    learner = Child("learner", settings=chosen, heed=lambda _, line: lines.append(line))
    assert learner.wait() == 8
    assert "si-stream: the HTTP server had ended before (ImportError('no loop today'))" in lines[-1]
    assert any("CRITICAL" in line and "the HTTP server has ended" in line for line in lines)
    assert any("stopped at step 0" in line for line in lines)
