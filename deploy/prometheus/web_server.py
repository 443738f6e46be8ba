"""What Prometheus and Alertmanager have in common as programs of this machine: YAML files in a
directory, a port, readiness, reloading, JSON.

Invariant: one started again in the same directory has the same port and all that it had stored.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import yaml

from deploy.local_process import LocalProcess, NotAvailable, free_ports, is_free

START_SECONDS = 60.0

Document = Mapping[str, Any]


class WebServer:
    """Args:
    directory: where its files, storage and log lie; made if missing.
    files: YAML documents by name; they may name each other.
    port: a free one unless given.
    flags: more of the command line.
    """

    programs: tuple[str, ...]
    package: str

    def __init__(
        self,
        directory: Path,
        files: Mapping[str, Document],
        *,
        port: int | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        self.directory = directory.absolute()
        self.files = files
        self.port = port or free_ports(1)[0]
        self._flags = flags
        self._process: LocalProcess | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            NotAvailable: the program is missing, or did not come up.
        """
        program = find(self.programs, self.package)
        if not is_free(self.port):
            raise NotAvailable(
                f"port {self.port} of 127.0.0.1 is taken; end what listens there, or take another"
            )
        self._write_files()
        log = self.directory / "log.txt"
        self._process = LocalProcess([program, *self._arguments(), *self._flags], log=log)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._process.kill()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    @property
    def process(self) -> LocalProcess:
        assert self._process is not None, "it has not been started"
        return self._process

    def reload(self, files: Mapping[str, Document] | None = None) -> None:
        """Have it read its files, or these in their place, without a restart.

        Raises:
            ValueError: it refuses them; the text says why.
        """
        self.files = self.files if files is None else files
        self._write_files()
        self.ask("/-/reload", method="POST")

    def ask(
        self, path: str, parameters: Mapping[str, Any] | None = None, *, method: str = "GET"
    ) -> Any:
        """The answer to a request, JSON parsed and other text as it is.

        Raises:
            ValueError: it is refused; the text says why.
        """
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        request = Request(f"{self.address}{path}{query}", method=method)
        try:
            with urlopen(request, timeout=10) as answer:
                body = answer.read()
                is_json = "json" in answer.headers.get("Content-Type", "")
                return json.loads(body) if is_json else body.decode()
        except HTTPError as error:
            with error:
                reason = error.read().decode(errors="replace").strip()
            raise ValueError(f"{request.full_url} answers {error.code}: {reason}") from None

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, document in self.files.items():
            (self.directory / name).write_text(yaml.safe_dump(dict(document), sort_keys=False))

    def _wait_until_ready(self, process: LocalProcess) -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.running and time.monotonic() < deadline:
            try:
                self.ask("/-/ready")
                return
            except (ValueError, URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        what = "ended" if not process.running else f"was not ready within {START_SECONDS:.0f} s"
        raise NotAvailable(f"{self.package} {what}; {process.last_lines()}")


def find(programs: Sequence[str], package: str) -> str:
    """The path of the first of these programs that is here.

    Raises:
        NotAvailable: none is.
    """
    for program in programs:
        if path := shutil.which(program):
            return path
    raise NotAvailable(
        f"{programs[0]} is not here: install it (Debian, Ubuntu: apt install {package})"
    )
