"""`si-stream demo`, for real, on the bundled digits."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.command import main
from services.demo.place import demo_directory

pytestmark = pytest.mark.usefixtures("bare_environment")

DIGITS = ["demo", "--scenario", "split-digits"]
HEAVY = ["torch", "numba", "fastapi", "torchvision"]


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    path = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(path))
    return path


@pytest.fixture
def taken_ports() -> Iterator[tuple[str, str]]:
    """Two ports on which somebody listens already."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as another,
    ):
        yield str(one.getsockname()[1]), str(another.getsockname()[1])


@contextmanager
def started(*arguments: str, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "services", *DIGITS, *arguments]
    with subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def averages_in(shown: str) -> tuple[float, float]:
    """The average accuracy with and without Synaptic Intelligence, from the metrics shown."""
    averages = re.findall(r'si_stream_average_accuracy_ratio{track="(\w+)"} (\S+)', shown)
    assert [track for track, _ in averages] == ["main", "shadow"]
    return float(averages[0][1]), float(averages[1][1])


def test_it_shows_who_remembers_and_who_forgets_and_ends_by_itself(
    tmp_path: Path, taken_ports: tuple[str, str]
) -> None:
    script = (
        "import sys; from services.command import main; code = main(sys.argv[1:]); "
        f"print(code, [name for name in {HEAVY} if name in sys.modules])"
    )
    options = ["--epochs", "10", "--directory", str(tmp_path), "--port", taken_ports[0]]
    options += ["--set", f"learner.metrics_port={taken_ports[1]}"]
    finished = subprocess.run(
        [sys.executable, "-c", script, *DIGITS, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = finished.stdout
    assert finished.stderr == ""
    assert shown.endswith("0 []\n")  # the demo itself learns nothing

    main_average, shadow_average = averages_in(shown)
    assert main_average > 0.95
    assert shadow_average < main_average - 0.03
    assert shown.count("holdout accuracy in %") == 5
    assert "▼" in shown
    for average in (main_average, shadow_average):
        assert f"  {100 * average:.1f} %  " in shown

    assert shown.count("Watch it live at http://127.0.0.1:") == 1
    assert shown.index("Watch it live") < shown.index("After task 1 of 5")
    assert f"@{tmp_path / 'image.uint8'}" in shown
    answer = json.loads(next(line for line in shown.splitlines() if line.startswith("{")))
    assert answer["classes"][answer["labels"][0]] in {"0", "1"}
    assert answer["version"]["step"] == 899  # ten epochs, learned to their end
    for port in taken_ports:
        assert f":{port}/" not in shown
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_mnist_is_remembered_with_synaptic_intelligence_and_forgotten_without(
    mnist_root: Path, tmp_path: Path
) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "services", "demo", "--directory", str(tmp_path)],
        env={**os.environ, "SI_STREAM_DATA": str(mnist_root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "learns split-mnist" in finished.stdout
    main_average, shadow_average = averages_in(finished.stdout)
    assert main_average >= 0.97
    assert shadow_average <= main_average - 0.05


@pytest.mark.usefixtures("curl")
def test_on_a_terminal_it_keeps_running_and_its_curl_command_works(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    options = ["--keep-running", "--epochs", "2", "--directory", str(tmp_path), "--port", "0"]
    metrics = ["--set", "learner.metrics_port=0"]
    with started(*options, *metrics, stdout=slave) as process:
        os.close(slave)
        shown = ""
        while "Ctrl-C ends them" not in shown:
            shown += os.read(master, 65536).decode(errors="replace")
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "")
        assert "the stream ━" in plain
        command = re.search(r"curl (.*\\\n){2}.*'\n", plain)
        assert command is not None, plain
        said = json.loads(next(line for line in plain.splitlines() if line.startswith("{")))
        asked = subprocess.run(["sh", "-c", command.group()], capture_output=True, check=True)
        answer = json.loads(asked.stdout)
        for member in ("version", "labels", "probabilities"):
            assert answer[member] == said[member]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    os.close(master)


def test_a_process_that_fails_ends_it_with_its_lines_and_a_code(temporary: Path) -> None:
    with started("--set", "model.network.kind=module", stdout=subprocess.PIPE) as process:
        _, complaint = process.communicate()
    assert process.returncode == 8
    assert b"learner   | si-stream: model.network.module is None" in complaint
    assert b"si-stream: the learner ended in the middle of the demo (exit code 2)" in complaint
    assert b"Traceback" not in complaint
    assert list(temporary.iterdir()) == []


def test_a_stream_that_is_not_learned_is_no_success() -> None:
    with started("--epochs", "1", "--set", "model.outputs=1", stdout=subprocess.PIPE) as process:
        _, complaint = process.communicate()
    assert process.returncode == 2
    assert b"rejected undecodable" in complaint
    assert b"si-stream: 0 of 5 tasks were learned" in complaint


def test_sigterm_ends_it_and_leaves_nothing_behind(temporary: Path) -> None:
    with started("--epochs", "200", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while b"samples/s" not in process.stdout.readline():
            pass
        process.terminate()
        assert process.wait() == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"si-stream: interrupted\n"
    assert list(temporary.iterdir()) == []


def test_it_does_not_touch_a_model_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with demo_directory(tmp_path) as place:
        place.model.mkdir()
    assert main([*DIGITS, "--directory", str(tmp_path)]) == 2
    assert f"{tmp_path / 'model'} is there already" in capsys.readouterr().err


def test_without_mnist_it_says_so_in_one_line_and_takes_the_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from services.demo import choose
    from services.demo.screen import Screen

    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (tmp_path / "MNIST" / "raw" / f"{part}-{kind}-ubyte").write_bytes(b"broken")
    assert choose(None, tmp_path, Screen()).name == "split-digits"
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("The demo learns scikit-learn's bundled digits: ")
    assert line.endswith(" cannot be read (it is no IDX file of 3 dimensions of bytes).\n")
