"""Child processes and the settings that they are given."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from services.processes import Child, caught_signals, children, environment_of
from si_stream.settings import load_settings

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"preset": "split-cifar", "learner.exit_at_end": True, "consolidator.strength": 0.1 + 0.2},
        {"preset": "split-mnist", "model.network.hidden": (), "stream.broker": "embedded:a b/c"},
        {"model.network.module": "package.module:function", "data": "somewhere"},
    ],
)
def test_a_child_has_the_settings_of_its_parent(
    chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(None, chosen)
    monkeypatch.setattr(os, "environ", environment_of(settings))
    assert load_settings() == settings


def test_a_child_does_not_see_other_settings_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load_settings()
    monkeypatch.setenv("SI_STREAM_CONFIG", "not-there.toml")
    monkeypatch.setenv("SI_STREAM_MODEL__MODULE", "another")
    environment = environment_of(settings)
    assert "SI_STREAM_CONFIG" not in environment
    assert "SI_STREAM_MODEL__MODULE" not in environment


def test_a_child_is_not_taken_from_the_directory_in_which_the_command_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__main__.py").write_text("print('another')")
    monkeypatch.chdir(tmp_path)
    child = Child("config", settings=load_settings())
    assert child.wait() == 0
    assert "another" not in child.last_lines


def test_a_child_that_fails_is_told_of_with_its_code_and_its_lines() -> None:
    heard = []
    child = Child(
        "config", "--prot", settings=load_settings(), heed=lambda *line: heard.append(line)
    )
    assert "the config ended at once (exit code 2)" in str(child.failure("at once"))
    [(name, line)] = heard
    assert name == "config"
    assert "No such option: --prot" in line
    assert list(child.last_lines) == [line]


def test_no_child_outlives_its_block(tmp_path: Path) -> None:
    settings = load_settings(None, {"directory": tmp_path, "predictor.port": 0})
    with suppress(ZeroDivisionError), children() as running:
        running.append(Child("predictor", settings=settings))
        raise ZeroDivisionError
    assert running[0].code is not None


def test_the_first_signal_is_kept_and_the_second_interrupts() -> None:
    with caught_signals() as caught:
        signal.raise_signal(signal.SIGTERM)
        assert caught == [signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_so() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with caught_signals() as caught:
            signal.raise_signal(signal.SIGHUP)
            assert caught == []
    finally:
        signal.signal(signal.SIGHUP, former)
