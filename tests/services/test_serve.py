"""`si-stream serve`: two real processes of one command."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from services.command import main
from services.demo.question import request

pytestmark = pytest.mark.usefixtures("bare_environment")


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`si-stream serve` with any free ports; its log is in the directory."""
    command = [
        *(sys.executable, "-m", "services", "serve", "--preset", "split-digits"),
        *("--directory", str(directory), "--port", "0", "--set", "learner.metrics_port=0"),
        *("--set", "snapshots.interval_seconds=0.1", *arguments),
    ]
    directory.mkdir(exist_ok=True)
    with (
        (directory / "log").open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def address_in(process: subprocess.Popen[str]) -> str:
    """The predictor's, from the line that says that both are ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    named = re.match(
        r"si-stream: ready: predictions and a page to watch it live at (http\S+),", line
    )
    assert named is not None, line
    return named[1]


def replay(directory: Path, seed: int = 0) -> None:
    broker = f"embedded:{directory}/broker.sqlite"
    options = ["--broker", broker, "--epochs", "2", "--seed", str(seed)]
    assert main(["simulate", "split-digits", *options]) == 0


def wait_for(path: Path, text: str) -> str:
    while text not in (content := path.read_text() if path.exists() else ""):
        time.sleep(0.05)
    return content


def ask(address: str) -> dict[str, object]:
    """The answer to a blank digit, as soon as there is one."""
    body = np.zeros((8, 8), np.uint8).tobytes()
    while (asked := request(address, "/predict?task=digits-8-9", body))[0] != 200:
        time.sleep(0.05)
    answer: dict[str, object] = json.loads(asked[1])
    return answer


def test_it_learns_and_answers_and_sigterm_stops_both_in_order(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    with serving(directory) as process:
        address = address_in(process)
        replay(directory)
        assert ask(address)["task"] == "digits-8-9"
        wait_for(directory / "events.jsonl", "StreamEnded")
        process.terminate()
        assert process.wait() == 0
    lines = (directory / "log").read_text().splitlines()
    assert {line.partition(" | ")[0] for line in lines} == {"learner  ", "predictor"}
    with pytest.raises(ConnectionRefusedError):
        request(address, "/healthz/live")
    assert any((directory / "epochs/000001/checkpoints").iterdir())


def test_where_the_learner_fails_the_predictor_is_stopped(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    with serving(directory) as process:
        address = address_in(process)
        replay(directory)
        wait_for(directory / "events.jsonl", "StreamEnded")
        (directory / "epochs/000002").mkdir()  # another learner has taken over
        replay(directory, seed=1)
        assert process.wait() == 8
    lines = (directory / "log").read_text().splitlines()
    assert lines[-1].startswith("si-stream: the learner ended without being asked to (exit code 5)")
    assert any(line.startswith("learner   | si-stream: ") for line in lines)
    with pytest.raises(ConnectionRefusedError):
        request(address, "/healthz/live")


def test_a_port_in_use_is_told_of_and_the_learner_is_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serving(tmp_path / "model", "--port", port) as process:
            assert process.wait() == 8
            assert process.stdout is not None
            assert process.stdout.read() == ""
    lines = (tmp_path / "model" / "log").read_text().splitlines()
    assert f"predictor | si-stream: port {port} of 127.0.0.1 is in use" in "\n".join(lines)
    expected = "si-stream: the predictor ended without being asked to (exit code 2)"
    assert lines[-1].startswith(expected)


def test_ctrl_c_which_a_terminal_sends_to_all_three_stops_them_in_order(tmp_path: Path) -> None:
    with serving(tmp_path / "model") as process:
        address_in(process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 0


def test_with_json_each_line_is_an_object_also_where_a_child_fails(tmp_path: Path) -> None:
    json_log = ("--set", "log.format=json")
    with serving(tmp_path / "model", *json_log) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["message"].startswith(
            "ready: predictions and a page to watch it live at http://"
        )
        with serving(
            tmp_path / "other", "--port", ready["predictor"].rpartition(":")[2], *json_log
        ) as other:
            assert other.wait() == 8
        process.terminate()
        assert process.wait() == 0
    first, second = (
        [json.loads(line) for line in (tmp_path / name / "log").read_text().splitlines()]
        for name in ("model", "other")
    )
    assert {one["process"] for one in first} == {"learner", "predictor"}
    [refused] = [one for one in second if one.get("process") == "predictor"]
    assert " is in use" in refused["message"]
    assert second[-1]["message"].startswith("the predictor ended without being asked to")
    assert second[-1]["exit_code"] == 8
