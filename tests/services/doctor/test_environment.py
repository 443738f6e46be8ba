"""Settings that cannot be read, and variables that nothing reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.doctor.environment import look, settings_of
from si_stream.settings import Settings, load_with_places
from tests.services.doctor.models import named, state_of
from tests.streams import settings

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_it_is_told_where_the_settings_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[model]\nbatch_size = 8\nseed = 3\n")
    monkeypatch.setenv("SI_STREAM_LOG__FORMAT", "json")
    read, finding = settings_of(lambda: load_with_places(file, {"stream.name": "own"}))
    assert read is not None
    assert read.model.batch_size == 8
    told = f"2 from {file}, 1 from the environment, 1 from the command line"
    assert (finding.state, finding.seen) == ("ok", told)


@pytest.mark.parametrize(
    ("variable", "value", "seen"),
    [
        ("SI_STREAM_MODEL_BATCH_SIZE", "8", "did you mean model.batch_size?"),
        ("SI_STREAM_MODEL__BATCH_SIZE", "none", "model.batch_size = 'none'"),
    ],
)
def test_a_variable_that_is_none_or_holds_no_value_for_it_is_told_of(
    variable: str, value: str, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    read, finding = settings_of(load_with_places)
    assert read is None
    assert finding.state == "fail"
    assert seen in finding.seen
    assert variable in finding.seen


def test_a_file_that_is_not_there_is_told_of() -> None:
    read, finding = settings_of(lambda: load_with_places(Path("not-there.toml")))
    assert (read, finding.state) == (None, "fail")
    assert finding.seen == "cannot read the settings file not-there.toml: No such file or directory"


def test_a_model_that_is_not_known_stops_learners_only() -> None:
    assert state_of(look(Settings(), {}), "settings: model")[0] == "warn"
    assert named(look(settings(), {}))["settings: model"].seen == "si-stream: uint8 4, 3 labels"


@pytest.mark.parametrize("name", ["SISTREAM_DATA", "SI_STREM_DATA", "si_stream_data"])
def test_a_variable_with_nearly_our_beginning_is_told_of(name: str) -> None:
    kind, text = state_of(look(settings(), {name: "x", "PATH": ""}), "settings: variables")
    assert kind == "warn"
    assert name in text
    ours = {"SI_STREAM_DATA": "x", "PATH": "", "STREAM_NAME": "", "XDG_CACHE_HOME": ""}
    assert state_of(look(settings(), ours), "settings: variables")[0] == "ok"
