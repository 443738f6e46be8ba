"""An earlier version of this repository, or this one, run as its users ran it.

Invariant: all code that a version runs is its own, from a worktree of its commit that ends with
the block; Python, PyTorch and the other packages are those that the tests run in.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.upgrades.stream import Kind

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.05


class Version:
    """Args:
    tree: its files.
    """

    def __init__(self, tree: Path) -> None:
        self.tree = tree

    def send(self, kind: Kind, directory: Path, first: int, last: int) -> None:
        """Append messages to the log of a model's directory."""
        directory.mkdir(exist_ok=True)
        program = Path(__file__).with_name("stream.py")
        words = [kind, str(directory / "broker.sqlite"), str(first), str(last)]
        subprocess.run(self._python(str(program), *words), env=self._environment(), check=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `si-stream`, to its end."""
        return subprocess.run(
            self._python("-m", "services", *words),
            env=self._environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._python("-m", "services", *words),
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def learn(self, directory: Path, settings: dict[str, str]) -> None:
        """Learn to the end of the stream."""
        ended = self.run("learner", "--exit-at-end", *flags(directory, settings))
        assert ended.returncode == 0, ended.stderr

    def learn_up_to(self, samples: int, directory: Path, settings: dict[str, str]) -> None:
        """Learn so many samples of a stream that holds no more, and stop as when asked to."""
        words = ("--set", "snapshots.interval_seconds=0.2")
        process = self.start("learner", *flags(directory, settings), *words)
        try:
            deadline = time.monotonic() + LIMIT_SECONDS
            while (newest_snapshot(directory) or {}).get("samples", 0) < samples:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, f"{self.tree} has not learned {samples} samples"
                time.sleep(LOOK_SECONDS)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=LIMIT_SECONDS)
            assert process.returncode == 0, said
        finally:
            process.kill()
            process.communicate()

    def _python(self, *words: str) -> list[str]:
        return [sys.executable, "-P", *words]

    def _environment(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("SI_STREAM_")}
        return ours | {"PYTHONPATH": str(self.tree)}


THIS = Version(ROOT)


@contextmanager
def version_of(commit: str) -> Iterator[Version]:
    with TemporaryDirectory(prefix="version-") as name:
        tree = Path(name) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield Version(tree)
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*words: str) -> str:
    ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


def flags(directory: Path, settings: dict[str, str]) -> list[str]:
    """The same as words of the command line."""
    words = ["--directory", str(directory)]
    for key, value in (in_directory(directory) | settings).items():
        words += ["--set", f"{key}={value}"]
    return words


def in_directory(directory: Path) -> dict[str, str]:
    """Settings of every model of these tests, which every version knows."""
    return {
        "stream.broker": f"embedded:{directory / 'broker.sqlite'}",
        "stream.retention": "all",
        "learner.metrics_port": "0",
        "learner.shadow": "off",
        "checkpoints.keep": "1",
        "checkpoints.keep_at_boundaries": "0",
        "snapshots.keep": "1",
        "compute.device": "cpu",
    }


def newest_snapshot(directory: Path) -> dict[str, Any] | None:
    """The manifest of the snapshot published last, read without the code of any version."""
    found = sorted(directory.glob("epochs/*/snapshots/[0-9]*.safetensors"))
    try:
        data = found[-1].read_bytes()
    except (IndexError, FileNotFoundError):  # none yet, or removed just now
        return None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    manifest: dict[str, Any] = json.loads(header["__metadata__"]["manifest"])
    return manifest
