"""A site of real processes: learners and predictors of several models, the Prometheus that scrapes
them by the shipped rules, and the Alertmanager that calls a webhook. A quarter of an hour of the
rules lasts as many seconds here.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from deploy.prometheus.local_prometheus import Alert, LocalAlertmanager, LocalPrometheus
from deploy.prometheus.rules import ALERTMANAGER_FILE, divided, read, shipped
from services.command import main
from services.processes import Child
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Envelope
from si_stream.learning.presets import PRESETS
from si_stream.messages.kinds import Message, Samples
from si_stream.settings import Settings
from tests.services.learner_process import wait_for_metrics
from tests.streams import enveloped

BY = 60
SCRAPE_SECONDS = 1
# A busy machine may be late with some scrapes, and a process is not down for that.
LEAST_SECONDS = 6
EVALUATION_STEPS = 50
LIMIT_SECONDS = 120
LOOK_SECONDS = 0.2

Call = tuple[str, dict[str, Any]]
"""A path, and the JSON that came to it."""


class Model:
    """A model with its stream, in a file of its own unless the settings say otherwise, and its
    processes once they are started.

    Args:
        partitions: of the stream; 0: it is there already.
        groups: settings that differ from those of the preset.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        preset: str = "split-digits",
        partitions: int = 1,
        **groups: Any,
    ) -> None:
        defaults = {
            **PRESETS[preset],
            "compute": {"device": "cpu"},
            "learner": {"metrics_port": 0},
            "predictor": {"port": 0},
            "holdout": {"evaluation_interval_steps": EVALUATION_STEPS},
            # Some are kept: a predictor on a busy machine must find one that is not yet removed.
            "snapshots": {"interval_seconds": 2, "keep": 20},
            "checkpoints": {"interval_seconds": 1},
        }
        merged = {key: defaults.get(key, {}) | groups.get(key, {}) for key in defaults | groups}
        merged["model"]["name"] = name
        self.name = name
        self.settings = Settings.model_validate({"directory": directory / name, **merged})
        self.settings.directory.mkdir(parents=True)
        self.broker = open_broker(self.settings.stream.broker)
        if partitions:
            self.broker.create_stream(self.settings.stream.name, partitions)
        self.learner: Child | None = None
        self.predictor: Child | None = None
        self.labels: dict[str, str] = {}

    def start_learner(self) -> Child:
        self.learner = Child("learner", settings=self.settings)
        return self.learner

    def start_predictor(self, directory: Path | None = None) -> Child:
        chosen = self.settings.model_copy(
            update={"directory": directory or self.settings.directory}
        )
        self.predictor = Child("predictor", settings=chosen)
        return self.predictor

    def send(self, *messages: Message | Envelope, partition: int = 0) -> None:
        self.broker.append(self.settings.stream.name, partition, enveloped(messages))

    def replay(self, *options: str) -> None:
        command = ["simulate", "split-digits", "--broker", self.settings.stream.broker, *options]
        assert main(command) == 0

    def warm_up(self) -> None:
        """Have a first batch learned and served, which on a busy machine takes longer than alerts
        wait here."""
        blank = np.zeros((16, 8, 8), np.uint8)
        self.send(Samples(blank, np.zeros(16, np.int64), task="digits-0-1"))
        assert self.predictor is not None
        address = f"http://{target(self.predictor)}/metrics"
        deadline = time.monotonic() + LIMIT_SECONDS
        while b"si_stream_served_snapshot_step 1.0" not in urlopen(address, timeout=30).read():
            assert time.monotonic() < deadline, f"{self.name} serves nothing"
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        for child in (self.learner, self.predictor):
            if child is not None:
                child._process.send_signal(signal.SIGCONT)
                child.kill()
                child.wait()
        self.broker.close()


class Site:
    """Args: how a Prometheus and an Alertmanager are started, as the fixtures do."""

    def __init__(
        self,
        directory: Path,
        start_prometheus: Callable[..., LocalPrometheus],
        start_alertmanager: Callable[..., LocalAlertmanager],
        webhook: str,
    ) -> None:
        self.directory = directory
        self.models: dict[str, Model] = {}
        self.started_seconds = time.time()
        self._start_prometheus = start_prometheus
        document = divided(read(ALERTMANAGER_FILE), BY, least_seconds=SCRAPE_SECONDS)
        self.alertmanager = start_alertmanager(
            directory / "alertmanager", {"alertmanager.yml": to_webhook(document, webhook)}
        )
        self.prometheus: LocalPrometheus

    def add(self, name: str, **options: Any) -> Model:
        self.models[name] = model = Model(self.directory, name, **options)
        return model

    def watch(self) -> None:
        """Have all processes that were started scraped."""
        files = divided(shipped(), BY, least_seconds=LEAST_SECONDS)
        for rule in files["rules.yml"]["groups"][0]["rules"]:
            if rule["record"] == "si_stream_threshold:evaluation_interval_steps":
                rule["expr"] = f"vector({EVALUATION_STEPS})"  # as it is to be: what the models have
        document = files["prometheus.yml"]
        for interval in ("scrape_interval", "evaluation_interval"):
            document["global"][interval] = f"{SCRAPE_SECONDS}s"
        [alertmanagers] = document["alerting"]["alertmanagers"]
        alertmanagers["static_configs"] = [{"targets": [f"127.0.0.1:{self.alertmanager.port}"]}]
        for config, role in zip(document["scrape_configs"], ("learner", "predictor"), strict=True):
            assert config["job_name"] == f"si-stream-{role}"
            config["static_configs"] = [
                {"targets": [target(child)], "labels": {"model": model.name, **model.labels}}
                for model in self.models.values()
                if (child := getattr(model, role)) is not None
            ]
        self.prometheus = self._start_prometheus(self.directory / "prometheus", files)
        self.wait_for(
            lambda: {at["health"] for at in self.prometheus.targets()} == {"up"}, "all targets"
        )

    def firing(self, name: str, model: str) -> list[Alert]:
        """The alerts of this name that fire now."""
        asked = (name, model)
        return [at for at in self.prometheus.alerts() if (at.name, at.labels["model"]) == asked]

    def wait_for_alert(self, name: str, model: str) -> Alert:
        """Once it fires."""
        found: list[Alert] = []

        def fires() -> bool:
            found[:] = self.firing(name, model)
            return bool(found)

        self.wait_for(fires, f"{name} of {model}")
        return found[0]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                states = [alert[:2] for alert in self.prometheus.alerts(state=None)]
                raise AssertionError(f"waited in vain for {what}; alerts are {states}")
            time.sleep(LOOK_SECONDS)

    def fired(self, model: str) -> set[str]:
        """The alerts of a model that have fired at any time."""
        ever = f'last_over_time(ALERTS{{alertstate="firing", model="{model}"}}[1h])'
        return {one.labels["alertname"] for one in self.prometheus.query(ever)}

    def value(self, expression: str) -> float | None:
        found = self.prometheus.query(expression)
        return found[0].value if found else None

    def has_value(self, expression: str, value: float) -> bool:
        return self.value(expression) == value

    def close(self) -> None:
        for model in self.models.values():
            model.close()


def target(child: Child) -> str:
    wait_for_metrics(child)
    assert child.address is not None
    return child.address.removeprefix("http://").partition("/")[0]


def to_webhook(document: dict[str, Any], address: str) -> dict[str, Any]:
    """The configuration of an Alertmanager whose receivers call another host."""
    for receiver in document["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            webhook["url"] = address + webhook["url"][webhook["url"].rindex("/") :]
    return document


@contextmanager
def webhook() -> Iterator[tuple[str, list[Call]]]:
    """The address of a server, and what is posted to it."""
    calls: list[Call] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            calls.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """No line for each call."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", calls
        finally:
            server.shutdown()
            thread.join()


def told(calls: list[Call], path: str) -> set[tuple[str, str]]:
    """Model and name of the alerts that a path was told of."""
    labels = [alert["labels"] for to, body in calls if to == path for alert in body["alerts"]]
    return {(one["model"], one["alertname"]) for one in labels}
