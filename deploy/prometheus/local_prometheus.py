"""A Prometheus and an Alertmanager on this machine, for development and tests: no Docker, no root.

    python deploy/prometheus/local_prometheus.py        (or: make prometheus)

They are the programs of the packages `prometheus` and `prometheus-alertmanager`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local_process import NotAvailable
from deploy.prometheus.rules import ALERTMANAGER_FILE, read, shipped
from deploy.prometheus.web_server import WebServer

Labels = dict[str, str]


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


class LocalPrometheus(WebServer):
    """Of its files `prometheus.yml` names the others, the rules."""

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


class LocalAlertmanager(WebServer):
    """Its file is `alertmanager.yml`."""

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
