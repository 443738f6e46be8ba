from __future__ import annotations

import pytest

from simulators import progress
from simulators.progress import shown_progress
from simulators.replay import Progress


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_SECONDS", 0)
    with shown_progress(4_000) as show:
        show(Progress(1_000, 4_000, 8, "digits-0-1"))
        show(Progress(2_000, 4_000, 16))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("digits-0-1: 1,000 of 4,000 samples, ")
    assert second.startswith("sending: 2,000 of 4,000 samples, ")
    assert second.endswith(" s left")


def test_lines_come_some_seconds_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(4_000) as show:
        for samples in range(1_000):
            show(Progress(samples, 4_000, samples))
    assert capsys.readouterr().err == ""
