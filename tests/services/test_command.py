"""The command line, through the function that the console script calls and as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main

from services.command import app, main
from services.flags import SETTING_OF
from si_stream.settings.layers import KNOWN_KEYS

pytestmark = pytest.mark.usefixtures("bare_environment")

COMMANDS = [
    *("demo", "serve", "learner", "predictor", "simulate", "checkpoints", "rollback", "config"),
    *("doctor", "status", "health", "reproduce", "dead-letters", "topics"),
]
HEAVY = ["torch", "torchvision", "numba", "pyarrow", "numpy", "fastapi", "sklearn", "matplotlib"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the one line on stderr of a command that must not succeed."""
    code = main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("si-stream: ")
    assert captured.err.count("\n") == 1
    return code, captured.err


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from services.command import main; code = main(sys.argv[1:] + ['--help']); "
        f"print(code, [name for name in {HEAVY} if name in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.splitlines()[-1] == "0 []"
    assert "Usage: si-stream" in finished.stdout


def test_the_commands_are_these() -> None:
    group = typer.main.get_group(app)
    assert list(group.commands) == COMMANDS


def test_the_flags_of_each_command_are_these() -> None:
    common = "--config --set --directory"
    learning = f"{common} --preset --broker --stream --shadow --device --accept-changes"
    expected = {
        "demo": f"{common} --device --port --scenario --epochs --seed --keep-running",
        "serve": f"{learning} --host --port",
        "learner": f"{learning} --exit-at-end",
        "predictor": f"{common} --source --host --port",
        "checkpoints": common,
        "rollback": f"{common} --broker --stream --to --resume-at",
        "config": f"{learning} --exit-at-end --source --host --port",
        "doctor": f"{learning} --source --host --port --json",
        "status": f"{common} --source --url --predictor --json --watch",
        "health": "--config --set --host --port --learner --predictor --ready",
    }
    commands = typer.main.get_group(app).commands
    flags = {
        name: {flag for parameter in commands[name].params for flag in parameter.opts}
        for name in expected
    }
    assert flags == {name: set(text.split()) for name, text in expected.items()}


def test_every_flag_stands_for_a_setting_that_exists() -> None:
    assert set(SETTING_OF.values()) <= set(KNOWN_KEYS)


def test_without_a_command_it_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_it_knows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("si-stream 0.")


def test_config_prints_the_settings_of_every_layer_as_toml(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[model]\nseed = 1\nbatch_size = 1\noutputs = 1")
    monkeypatch.setenv("SI_STREAM_MODEL__BATCH_SIZE", "2")
    monkeypatch.setenv("SI_STREAM_MODEL__OUTPUTS", "2")
    flags = ["--config", str(file), "--set", "model.outputs=3", "--stream", "s", "--port", "0"]
    assert main(["config", *flags]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    model = shown["model"]
    assert (model["seed"], model["batch_size"], model["outputs"]) == (1, 2, 3)
    assert (shown["stream"]["name"], shown["predictor"]["port"]) == ("s", 0)


def test_the_settings_file_may_be_named_by_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('stream.name = "from-the-file"')
    monkeypatch.setenv("SI_STREAM_CONFIG", str(file))
    assert main(["config"]) == 0
    assert "from-the-file" in capsys.readouterr().out


def test_config_masks_the_password_of_the_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--broker", "kafka://me:s3cret@host"]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    assert "kafka://me:***@host" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["config", "--set", "model.batchsize=3"], "did you mean model.batch_size?"),
        (["config", "--set", "model.batch_size"], "not KEY=VALUE"),
        (["config", "--set", "model.batch_size=0"], "model.batch_size = '0' (--set)"),
        (["config", "--port", "99999"], "(--port): should be less than or equal to 65535"),
        (["config", "--port", "http"], "Invalid value for '--port'"),
        (["config", "--config", "not-there.toml"], "cannot read the settings file not-there.toml"),
        (["config", "--prot", "1"], "No such option: --prot"),
        (["learn"], "No such command 'learn'"),
        (["learner"], "take a benchmark's with --preset"),
        (["serve", "--set", "model.input_shape=2"], "model.outputs not set"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, line = refused(capsys, *arguments)
    assert code == 2
    assert words in line


def test_an_unknown_variable_of_ours_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SI_STREAM_MODEL__BATCHSIZE", "3")
    code, line = refused(capsys, "config")
    assert code == 2
    assert "SI_STREAM_MODEL__BATCHSIZE" in line


def test_simulate_sends_where_the_settings_let_a_learner_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SI_STREAM_DIRECTORY", str(tmp_path / "made" / "by it"))
    arguments = ["simulate", "split-digits", "--task-count", "1", "--no-holdout"]
    assert main(arguments) == 0
    assert (tmp_path / "made" / "by it" / "broker.sqlite").stat().st_size > 0


def test_a_missing_data_set_is_one_line_and_exit_code_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    absent = tmp_path / "absent.npz"
    code, line = refused(capsys, "simulate", "--data", str(absent), "--tasks", "0,1")
    assert code == 3
    assert "absent.npz" in line


def test_ctrl_c_is_one_line_and_exit_code_130(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    os.mkfifo(file)  # reading it waits for a writer
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from services.command import main; sys.exit(main(['config', '--config', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", script, str(file)]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        file.open("w"),  # opens once the command has begun to read
    ):
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint == "si-stream: interrupted\n"
