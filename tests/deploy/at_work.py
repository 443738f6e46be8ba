"""What is asked of the services of deploy/compose.yaml at work: a real broker, learner, predictors
that follow it by its address, the simulator, Prometheus and Alertmanager, as the file says.

Grafana is not among them; tests/deploy/grafana holds its files against a real Prometheus.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus
from tests.deploy.compose_file import FOLDER, SERVICES, read
from tests.deploy.topology import Topology

LOOK_SECONDS = 0.2
ALL_LEARNED = "sum(si_stream_lag_messages) == 0 and sum(si_stream_step) > 100"
NEWEST_SERVED = (
    "count(si_stream_served_snapshot_step == on (model) group_left () "
    'si_stream_snapshot_step{job="si-stream-learner"})'
)
QUESTION = json.dumps({"inputs": [[[0] * 28] * 28]}).encode()


def until(condition: Callable[[], bool], made: Topology) -> None:
    while not condition():
        codes = [process.poll() for process in made.processes]
        assert set(codes) == {None}, f"ended with {codes}; the logs are in {made.directory}"
        time.sleep(LOOK_SECONDS)


def status_of(url: str, token: str | None = None, body: bytes | None = None) -> int:
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, body, headers), timeout=30) as answer:
            status: int = answer.status
            return status
    except HTTPError as error:
        with error:
            return error.code


def watched_by(made: Topology, alertmanager: int) -> dict[str, Any]:
    """Prometheus' files with the addresses here; a name of the DNS becomes what it stands for."""
    main = read("compose/prometheus.yml")
    main["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [at] = main["alerting"]["alertmanagers"][0]["static_configs"]
    at["targets"] = [f"127.0.0.1:{alertmanager}"]
    learner, predictor = main["scrape_configs"]
    learner["static_configs"][0]["targets"] = [f"127.0.0.1:{made.learner_port}"]
    del predictor["dns_sd_configs"]
    predictor["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}" for port in made.predictor_ports]}
    ]
    rules = {name: read(f"prometheus/{name}") for name in main["rule_files"]}
    return {"prometheus.yml": main, **rules}


def health_path(name: str) -> str:
    [url] = [word for word in SERVICES[name]["healthcheck"]["test"] if word.startswith("http")]
    return str(url.partition("//")[2].partition("/")[2])


def probed(component: str) -> list[str]:
    """The paths that Kubernetes asks for of a container that is ready."""
    file = FOLDER / "kubernetes" / "base" / f"{component}.yaml"
    [pods] = [one for one in yaml.safe_load_all(file.read_text()) if "template" in one["spec"]]
    [container] = pods["spec"]["template"]["spec"]["containers"]
    return [probe["httpGet"]["path"] for name, probe in container.items() if "Probe" in name]


def comes_up_learns_and_answers(
    made: Topology,
    start_prometheus: Callable[..., LocalPrometheus],
    start_alertmanager: Callable[..., LocalAlertmanager],
    mnist_root: Path,
    *limits: str,
) -> None:
    """Started in the file's order, watched, asked, and stopped.

    Args:
        limits: to what the simulator sends.
    """
    made.run("tokens")
    tokens = {path.name: path.read_text() for path in made.volume("tokens").iterdir()}
    made.run("tokens")  # as at the next start
    assert tokens == {path.name: path.read_text() for path in made.volume("tokens").iterdir()}
    assert set(tokens) == {"learner", "snapshots", "grafana"}
    assert len(set(tokens.values())) == 3

    made.run("topics")
    learner = made.start("learner")
    predictors = [made.start("predictor", number) for number in range(len(made.predictor_ports))]
    until(partial(made.is_well, "learner"), made)
    for number in range(len(made.predictor_ports)):
        until(partial(made.is_well, "predictor", number), made)
        assert not made.is_well("predictor", number, "--ready")

    alertmanager = start_alertmanager(
        made.directory / "alertmanager", {"alertmanager.yml": read("alertmanager/alertmanager.yml")}
    )
    files = watched_by(made, alertmanager.port)
    prometheus = start_prometheus(made.directory / "prometheus", files)
    for name, program in (("prometheus", prometheus), ("alertmanager", alertmanager)):
        assert status_of(f"{program.address}/{health_path(name)}") == 200

    made.run("simulate", *limits, variables={"SI_STREAM_DATA": str(mnist_root)})
    until(partial(_is_so, prometheus, ALL_LEARNED), made)
    until(partial(_is_so, prometheus, f"{NEWEST_SERVED} == {len(made.predictor_ports)}"), made)
    assert {at["labels"]["model"] for at in prometheus.targets()} == {"si-stream"}
    assert {at["health"] for at in prometheus.targets()} == {"up"}
    groups = prometheus.ask("/api/v1/rules")["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}

    addresses = {"learner": made.learner_port, "predictor": made.predictor_ports[0]}
    for component, port in addresses.items():
        paths = probed(component)
        assert len(paths) == 3
        assert {status_of(f"http://127.0.0.1:{port}{path}") for path in paths} == {200}

    at_learner = f"http://127.0.0.1:{made.learner_port}"
    for path, body, name in (
        ("/boundaries", b"{}", "learner"),
        ("/snapshots/newest", None, "snapshots"),
    ):
        assert status_of(at_learner + path, None, body) == 401
        assert status_of(at_learner + path, tokens["grafana"], body) == 401
        assert status_of(at_learner + path, tokens[name], body) in {200, 202}

    # On a busy machine the kernel may end the learner's stop after nine seconds: all is saved then.
    assert made.stop(learner) in {0, -signal.SIGALRM}
    assert made.stop(predictors[0]) == 0
    # One that starts while the learner is away has its copy.
    made.start("predictor", 0)
    for number, port in enumerate(made.predictor_ports):
        until(partial(made.is_well, "predictor", number, "--ready"), made)
        assert status_of(f"http://127.0.0.1:{port}/predict", body=QUESTION) == 200


def _is_so(prometheus: LocalPrometheus, expression: str) -> bool:
    return bool(prometheus.query(expression))
