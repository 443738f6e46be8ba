"""A replay, the learner and the predictor of it, and the Prometheus that watches both: all real.

Invariant: Prometheus has the repository's own configuration and rules, but for the addresses and
for how often it looks; nothing outlives the `with` block.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import yaml

from deploy.prometheus.local_prometheus import LocalPrometheus
from services.demo.story import follow
from services.logs.relay import tell
from services.processes import Child, children
from si_stream.settings import Settings

PROMETHEUS = Path(__file__).parents[1] / "prometheus"
LOOK_SECONDS = 0.2


class Watched(NamedTuple):
    prometheus: LocalPrometheus
    model: str
    began: float
    ended: float
    """Both in Unix time; all that was learned then is in Prometheus."""


@contextmanager
def watched_replay(
    settings: Settings,
    directory: Path,
    *replays: Sequence[str],
    scrape_seconds: int,
    alerts: Mapping[str, Any] | None = None,
) -> Iterator[Watched]:
    """Learn the replays one after the other, asking for predictions meanwhile.

    Args:
        settings: of learner, predictor and simulators.
        directory: of Prometheus.
        replays: what is sent: of each the words behind `si-stream simulate`. The last one, and no
            other, sends the end.
        alerts: in the place of the repository's alerts.yml.

    Raises:
        ProcessEnded: one of the processes failed.
        NotAvailable: there is no Prometheus.
    """
    with children() as running:
        learner, predictor = (Child(name, settings=settings) for name in ("learner", "predictor"))
        running += [learner, predictor]

        def look_after() -> None:
            for child in running:
                if child.code:
                    for line in child.last_lines:
                        tell(child.name, line)
                    raise child.failure("in the middle of the replay")
            ask(predictor, settings)

        targets = {"si-stream-learner": learner, "si-stream-predictor": predictor}
        while not all(child.address for child in running):
            look_after()
            time.sleep(LOOK_SECONDS)
        read = files(targets, settings.model.name, scrape_seconds)
        if alerts is not None:
            read["alerts.yml"] = alerts
        with LocalPrometheus(directory, read) as prometheus:
            began = time.time()
            for words in replays:
                running.append(simulator := Child("simulate", *words, settings=settings))
                while simulator.code is None:
                    look_after()
                    time.sleep(LOOK_SECONDS)
            for _ in follow(settings.directory, look_after):
                pass
            time.sleep(2 * scrape_seconds)
            yield Watched(prometheus, settings.model.name, began, time.time())


def files(targets: dict[str, Child], model: str, scrape_seconds: int) -> dict[str, Any]:
    """Those of deploy/prometheus, for these targets."""
    names = ("prometheus.yml", "rules.yml", "alerts.yml")
    read: dict[str, Any] = {name: yaml.safe_load((PROMETHEUS / name).read_text()) for name in names}
    configuration = read["prometheus.yml"]
    del configuration["alerting"]
    often = f"{scrape_seconds}s"
    configuration["global"] = {"scrape_interval": often, "evaluation_interval": often}
    for job in configuration["scrape_configs"]:
        place = urlsplit(targets[job["job_name"]].address or "").netloc
        job["static_configs"] = [{"targets": [place], "labels": {"model": model}}]
    return read


def ask(predictor: Child, settings: Settings) -> None:
    """For a prediction of each task that is served, and for one without a task."""
    if predictor.address is None:
        return
    address = predictor.address.rstrip("/")
    if b"si_stream_served_snapshot_step" not in got(f"{address}/metrics"):
        return  # it has none yet, and would have to refuse
    tasks = [task["name"] for task in json.loads(got(f"{address}/tasks"))["tasks"]]
    body = bytes(math.prod(settings.model.input_shape))
    for query in ["", *(f"?task={quote(task)}" for task in tasks)]:
        got(f"{address}/predict{query}", body)


def got(url: str, body: bytes | None = None) -> bytes:
    headers = {"Content-Type": "application/octet-stream"}
    with urlopen(Request(url, body, headers), timeout=10) as answer:
        read: bytes = answer.read()
        return read
