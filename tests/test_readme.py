"""The README's commands, run from top to bottom as a reader would, in an empty directory."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

# What a reader does without being told: look whether the replay has been learned.
WAIT = """
until grep -q StreamEnded si-stream-data/events.jsonl; do sleep 0.1; done
until curl --fail --silent http://127.0.0.1:8080/tasks | grep -q digits-8-9; do sleep 0.1; done
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def script() -> str:
    """All blocks as one session of a shell, which stops at the first that fails."""
    parts = ["set -e -o pipefail"]
    for language, text in BLOCKS:
        parts.append(text if language == "sh" else f"python - <<'END'\n{text}END")
        if "simulate split-digits" in text:
            parts.append(WAIT)
        if "kill %1" in text:
            parts.append("wait %1")  # serve has ended, and with 0
    return "\n".join(parts)


@pytest.mark.usefixtures("bare_environment", "curl")
def test_its_commands_do_what_it_says(tmp_path: Path) -> None:
    ports = {"8080": free_port(), "9101": free_port()}
    text = re.sub(r"8080|9101", lambda usual: str(ports[usual.group()]), script())
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SI_STREAM_PREDICTOR__PORT": str(ports["8080"]),
        "SI_STREAM_LEARNER__METRICS_PORT": str(ports["9101"]),
    }
    log = tmp_path / "log"
    work = tmp_path / "work"
    work.mkdir()
    with log.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", text],
            cwd=work,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=200)
        finally:
            if shell.poll() is None or shell.returncode:
                os.killpg(shell.pid, signal.SIGKILL)
    shown = log.read_text()
    assert code == 0, shown
    assert "batch_size = 32" in shown
    assert '"labels":[0]' in shown  # the raw zero is taken for one
    assert "'predictions': [{'label': " in shown  # the JSON one
    assert '"tasks":["digits-0-1"]' in shown  # the one that names no task
    assert 'si_stream_forgetting_ratio{task="digits-0-1",track="main"}' in shown
    assert 'si_stream_predictions_total{task="digits-0-1"} 3.0' in shown
    assert "\npredictor   ready  at http://127.0.0.1:" in shown
    assert " to look at, 0 to mend" in shown


def test_every_kind_of_block_is_run() -> None:
    assert len(BLOCKS) == README.count("\n```") / 2


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    here = [link for link in links if not link.startswith("https://")]
    assert here
    assert [link for link in here if not (ROOT / link.partition("#")[0]).exists()] == []
