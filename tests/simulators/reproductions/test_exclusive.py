from __future__ import annotations

from pathlib import Path

import pytest

from si_stream.errors import SettingsError
from simulators.reproductions.exclusive import alone_in


def test_a_second_command_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    place = tmp_path / "results" / "mine"
    with alone_in(place):
        with pytest.raises(SettingsError, match=r"another command is at work in .*mine: wait"):
            alone_in(place).__enter__()
        with alone_in(tmp_path / "results" / "other"):
            pass
    with alone_in(place):
        pass
