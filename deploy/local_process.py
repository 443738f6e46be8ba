"""A server of another program that runs on this machine, for development and tests.

Invariant: it does not outlive the process that started it, however that ends.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

LAST_LINES = 20


class NotAvailable(Exception):
    """The server cannot be had here; the text says what is missing."""


class LocalProcess:
    """Args:
    command: what is run; the first word must be there.
    log: a file that all that it writes is added to.
    """

    def __init__(self, command: Sequence[str | Path], *, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        # Its input ends with this process, also by SIGKILL, and then it takes the server along.
        self._watchdog = subprocess.Popen(
            ["sh", "-c", f"read _; kill -9 {self._process.pid}"], stdin=subprocess.PIPE
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        return self._process.wait()

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)
        # A busy thread takes its time to stop.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        self._watchdog.kill()
        self._watchdog.wait()
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        self._process.send_signal(number)
        if number is not signal.SIGKILL:
            self._process.send_signal(signal.SIGCONT)  # a paused one hears nothing else
        self._process.wait()

    def last_lines(self) -> str:
        """How its log ends, for an error."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"{self.log} ends with", *lines])


def free_ports(count: int) -> list[int]:
    """Ports that stay free while the server is down: not of those that outgoing connections get,
    of which a client that knocks in vain may take the very one at which it knocks."""
    candidates = random.sample(range(20_000, 32_000), k=100)
    return [port for port in candidates if is_free(port)][:count]


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
