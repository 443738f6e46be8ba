"""A Prometheus and an Alertmanager on this machine, for development and tests: no Docker, no root.

    python deploy/prometheus/local_prometheus.py        (or: make prometheus)

They are the programs of the packages `prometheus` and `prometheus-alertmanager`. Invariant: one
started again in the same directory has the same port and all that it had stored.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import yaml

from deploy.local_process import LocalProcess, NotAvailable, free_ports, is_free
from deploy.prometheus.rules import ALERTMANAGER_FILE, read, shipped

START_SECONDS = 60.0

Labels = dict[str, str]
Document = Mapping[str, Any]


class Sample(NamedTuple):
    labels: Labels  # without __name__
    value: float


class Series(NamedTuple):
    labels: Labels
    values: list[tuple[float, float]]
    """Time (Unix, seconds) and value."""


class Alert(NamedTuple):
    name: str
    labels: Labels
    annotations: dict[str, str]
    state: str
    """`pending` or `firing` at Prometheus; `active`, `suppressed` at Alertmanager."""


class _Server:
    """What the two programs have in common: YAML files in a directory, a port, `/-/ready`."""

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


class LocalPrometheus(_Server):
    """Args:
    directory: where its files, storage and log lie; made if missing.
    files: YAML documents by name, `prometheus.yml` among them; it names the others, the rules.
    port: a free one unless given.
    flags: more of the command line.
    """

    programs = ("prometheus",)
    package = "prometheus"

    def _arguments(self) -> list[str]:
        return [
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'storage'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",  # for reload
            "--log.level=warn",
        ]

    def query(self, expression: str, *, at: float | None = None) -> list[Sample]:
        """What a PromQL expression is now, or was at a time (Unix, seconds)."""
        when = {} if at is None else {"time": at}
        result = self.ask("/api/v1/query", {"query": expression, **when})["data"]
        if result["resultType"] == "scalar":
            return [Sample({}, float(result["result"][1]))]
        return [
            Sample(_named(entry["metric"]), float(entry["value"][1])) for entry in result["result"]
        ]

    def query_range(
        self, expression: str, *, start: float, end: float, step: float
    ) -> list[Series]:
        """What it was between two times (Unix, seconds), every `step` seconds."""
        parameters = {"query": expression, "start": start, "end": end, "step": step}
        result = self.ask("/api/v1/query_range", parameters)["data"]["result"]
        return [
            Series(
                _named(entry["metric"]),
                [(float(when), float(value)) for when, value in entry["values"]],
            )
            for entry in result
        ]

    def alerts(self, *, state: str | None = "firing") -> list[Alert]:
        """The alerts in a state, or, with None, those that are pending too."""
        found = self.ask("/api/v1/alerts")["data"]["alerts"]
        return [
            Alert(
                entry["labels"]["alertname"], entry["labels"], entry["annotations"], entry["state"]
            )
            for entry in found
            if state in {None, entry["state"]}
        ]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with the health of each, as its API has them."""
        found: list[dict[str, Any]] = self.ask("/api/v1/targets")["data"]["activeTargets"]
        return found


class LocalAlertmanager(_Server):
    """Args: as of `LocalPrometheus`; the file is `alertmanager.yml`."""

    programs = ("prometheus-alertmanager", "alertmanager")  # Debian's name, and its makers'
    package = "prometheus-alertmanager"

    def _arguments(self) -> list[str]:
        return [
            f"--config.file={self.directory / 'alertmanager.yml'}",
            f"--storage.path={self.directory / 'storage'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",  # it is alone
            "--log.level=warn",
        ]

    def alerts(self) -> list[Alert]:
        return [
            Alert(
                entry["labels"]["alertname"],
                entry["labels"],
                entry["annotations"],
                entry["status"]["state"],
            )
            for entry in self.ask("/api/v2/alerts")
        ]


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


def _named(metric: Labels) -> Labels:
    return {key: value for key, value in metric.items() if key != "__name__"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Prometheus and Alertmanager with the shipped files, for `si-stream serve` on "
        "this machine; Ctrl-C ends them."
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("si-stream-data/prometheus"),
        help="of what they store, which stays there (default: si-stream-data/prometheus)",
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    alertmanager_files = {"alertmanager.yml": read(ALERTMANAGER_FILE)}
    try:
        with (
            LocalAlertmanager(
                given.directory / "alertmanager", alertmanager_files, port=9093
            ) as alertmanager,
            LocalPrometheus(given.directory, shipped(), port=9090) as prometheus,
        ):
            print(
                f"Prometheus is at {prometheus.address}, its alerts at {prometheus.address}/alerts,"
                f" Alertmanager at {alertmanager.address}; what they store is in "
                f"{prometheus.directory}. Ctrl-C ends them.",
                flush=True,
            )
            return prometheus.process.wait()
    except NotAvailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
