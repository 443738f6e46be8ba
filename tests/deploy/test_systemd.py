"""deploy/systemd: what systemd itself says of the units, and what of them is the program's. They
were started by no systemd.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.command import main
from services.exit_codes import EXIT_CODES
from services.learner import STOP_SECONDS
from services.predictor.server import DRAIN_SECONDS
from si_stream.errors import BrokerError, IdentityMismatch, SettingsError
from si_stream.settings import load_settings
from tests.deploy.serving_image import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = ["learner", "predictor"]

pytestmark = pytest.mark.usefixtures("bare_environment")


def entries(unit: str) -> list[tuple[str, str]]:
    lines = (FOLDER / f"si-stream-{unit}.service").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return [(name, value) for name, _, value in pairs]


def value(unit: str, name: str) -> str:
    [found] = [value for key, value in entries(unit) if key == name]
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_and_little_open(
    unit: str, systemd_analyze: str, tmp_path: Path
) -> None:
    """With the program of this environment, since it must be there."""
    text = (FOLDER / f"si-stream-{unit}.service").read_text()
    here = tmp_path / f"si-stream-{unit}.service"
    here.write_text(text.replace("/opt/si-stream/bin", str(Path(sys.executable).parent)))

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [systemd_analyze, *arguments, here], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    assert said("verify", "--man=no") == ""
    said("security", "--offline=true", "--threshold=20")  # exposure of 2.0 of 10


@pytest.mark.parametrize("unit", UNITS)
def test_its_command_and_its_variables_are_the_programs(
    unit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = value(unit, "ExecStart").split()
    assert program.endswith("/bin/si-stream")
    assert main([*arguments, "--help"]) == 0
    assert f"Usage: si-stream {unit}" in capsys.readouterr().out
    variables = dict(text.split("=", 1) for name, text in entries(unit) if name == "Environment")
    assert variables.pop("SI_STREAM_CONFIG") == "/etc/si-stream/settings.toml"
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    state = Path("/var/lib", value(unit, "StateDirectory"))
    assert load_settings().directory.is_relative_to(state)


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_started_again_for_as_long_as_it_takes(unit: str) -> None:
    """A learner whose broker is away at its start ends within seconds, with a code of its own."""
    assert value(unit, "Restart") == "on-failure"
    assert value(unit, "StartLimitIntervalSec") == "0"
    never = value(unit, "RestartPreventExitStatus").split()
    assert str(EXIT_CODES[BrokerError]) not in never


@pytest.mark.parametrize("unit", UNITS)
def test_it_has_time_to_stop_and_is_not_started_again_to_end_the_same_way(unit: str) -> None:
    assert int(value(unit, "TimeoutStopSec").removesuffix("s")) > max(STOP_SECONDS, DRAIN_SECONDS)
    never = {int(code) for code in value(unit, "RestartPreventExitStatus").split()}
    assert never <= set(EXIT_CODES.values())
    assert EXIT_CODES[SettingsError] in never
    assert (EXIT_CODES[IdentityMismatch] in never) == (unit == "learner")
