"""Child processes: commands of this same command line, run by one that needs several of them.

Invariant: a child has exactly the settings that it is given, whatever file, variable or flag they
came from, and it does not outlive the `with` block that it was started in.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from pydantic import SecretStr

from si_stream.errors import ProcessEnded
from si_stream.settings import Settings
from si_stream.settings.layers import PREFIX, flattened

LAST_LINES = 20
ADDRESS = re.compile(r'https?://[^\s,"]+')


class Child:
    """A running `si-stream NAME …`.

    Args:
        name: of the command.
        arguments: that follow it, beside the settings.
        settings: all of them.
        heed: is given the name and each line that it writes, by a thread of its own.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        settings: Settings,
        heed: Callable[[str, str], None] | None = None,
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.address: str | None = None
        """Where it answers requests: the first address that it has named."""
        self._heed = heed
        self._process = subprocess.Popen(
            # -P: a folder `services` where the command was typed is not this one.
            [sys.executable, "-P", "-m", "services", name, *arguments],
            env=environment_of(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = Thread(target=self._read, name=f"{name} lines", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for text in lines:
                line = text.rstrip()
                self.last_lines.append(line)
                if self.address is None and (found := ADDRESS.search(line)):
                    self.address = found.group()
                if self._heed is not None:
                    self._heed(self.name, line)

    @property
    def code(self) -> int | None:
        """How it ended, below 0 by a signal; None while it runs."""
        return self._process.poll()

    def failure(self, when: str) -> ProcessEnded:
        """The error to raise when it has not ended as it should."""
        code = self.wait()
        how = f"exit code {code}" if code >= 0 else signal.strsignal(-code) or f"signal {-code}"
        return ProcessEnded(f"the {self.name} ended {when} ({how}); its lines above say why")

    def ask_to_stop(self) -> None:
        if self.code is None:
            self._process.terminate()

    def kill(self) -> None:
        if self.code is None:
            self._process.kill()

    def wait(self) -> int:
        """Its exit code, once it has ended and its last line has been read."""
        code = self._process.wait()
        self._reader.join()
        return code


def is_alive(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment with the settings in it, and no others of ours."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    for key, value in flattened(settings.model_dump()):
        if value is not None:
            environment[PREFIX + key.upper().replace(".", "__")] = _text(value)
    return environment


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


@contextmanager
def children() -> Iterator[list[Child]]:
    """A list for children, which are asked to stop when the block is left, and waited for.

    What interrupts the waiting kills them.
    """
    running: list[Child] = []
    try:
        yield running
    finally:
        try:
            for child in running:
                child.ask_to_stop()
            for child in running:
                child.wait()
        finally:
            for child in running:
                child.kill()


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """A list of the signals that have asked this process to stop; a second one interrupts.

    No lock is taken: the handler may run while the main thread holds any.
    """
    caught: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt

    former = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN  # as nohup and a script's & have it
    }
    try:
        yield caught
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
