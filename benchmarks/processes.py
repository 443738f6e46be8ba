"""Processes that are measured from outside: started, looked at, and ended with the block."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from services.processes import environment_of
from si_stream.settings import Settings

PATIENCE_SECONDS = 120
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")

T = TypeVar("T")


class Process:
    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output

    @property
    def cpu_seconds(self) -> float:
        """Of all threads that it has, since they began."""
        stats = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(stat.read_text(encoding="ascii").split()[0]) for stat in stats) * 1e-9

    def port(self) -> int:
        """Of the first address that it names."""
        return int(self.wait_for(lambda: ADDRESS.search(self.text()))[1])

    def wait_for(self, look: Callable[[], T | None]) -> T:
        """What a look at something yields, once it is not None.

        Raises:
            RuntimeError: the process ends before that, or it takes too long.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := look()) is None:
            if (code := self._process.poll()) is not None or time.monotonic() > deadline:
                what = "is not ready" if code is None else f"ended with {code}"
                raise RuntimeError(f"{self._process.args!r} {what}:\n{self.text()}")
            time.sleep(0.005)
        return found

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def text(self) -> str:
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")


@contextmanager
def running(
    arguments: Sequence[str], environment: dict[str, str] | None = None
) -> Iterator[Process]:
    """A Python process; it is told to end, and waited for, when the block is left."""
    with TemporaryFile() as output:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Process(child, output)
        finally:
            child.terminate()
            child.send_signal(signal.SIGCONT)
            child.wait()


@contextmanager
def running_service(name: str, settings: Settings) -> Iterator[Process]:
    """`si-stream NAME` with these settings."""
    with running(["-m", "services", name], environment_of(settings)) as process:
        yield process


def events(directory: Path, name: str) -> list[dict[str, Any]]:
    """What a learner has written into its journal about one kind of event."""
    path = directory / "events.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [told for told in map(json.loads, lines) if told["event"] == name]
