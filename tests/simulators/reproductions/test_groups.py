from __future__ import annotations

import pytest

from si_stream.errors import SettingsError
from si_stream.learning.presets import PRESETS
from simulators.reproductions.groups import GROUPS, groups_of, settings_of


def test_a_record_has_the_whole_of_each_group() -> None:
    settings = settings_of(PRESETS["split-digits"], 3, "cpu", "it")
    recorded = groups_of(settings)
    assert tuple(recorded) == GROUPS
    assert recorded["model"]["seed"] == 3
    assert set(recorded["boundaries"]) == set(type(settings.boundaries).model_fields)


def test_who_asks_for_what_there_is_not_is_named() -> None:
    unknown = {**PRESETS["split-digits"], "optimiser": {"kind": "luck"}}
    with pytest.raises(SettingsError, match=r"^method hope asks for .*optimiser\.kind"):
        settings_of(unknown, 0, "cpu", "method hope")
