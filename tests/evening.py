"""The evening of an engineer on call, all of it real: `make evening`, some two minutes.

Kafka, two learners of the same stream, one with Synaptic Intelligence and a shadow and one without
consolidation, a predictor of each, Prometheus and Alertmanager with the shipped rules, and the live
page in Chromium. Split MNIST is replayed, a learner is killed and started again, and one forgets.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.grafana import reading
from deploy.local_process import free_ports
from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus
from services.processes import Child
from si_stream.brokers import open_broker
from tests.deploy.prometheus.site import SCRAPE_SECONDS, Call, Model, Site, told, webhook
from tests.services.learner_process import kill

KEPT, FORGETFUL = "kept", "forgetful"
REPLAY = ("split-mnist", "--epochs", "2", "--rate", "4000")
SAMPLES = 2 * 60_000
PATIENCE = 60_000.0  # milliseconds that the page may take to show what has happened
# The queries that nothing answers this evening, of neither model: where, letter, why.
NOTHING_TO_SHOW = {
    ("Detector's alarms", "A"): "the boundaries are told",
    ("Alarms taken", "Anno"): "the boundaries are told",
    ("Worlds compared", "A"): "the tasks are named",
    ("Faults", "G"): "the predictors have no fault",
    ("GPU memory", "A"): "it is learned on the CPU",
    ("Open outputs", "A"): "the labels are fixed",
}


@pytest.fixture
def calls() -> Iterator[tuple[str, list[Call]]]:
    with webhook() as found:
        yield found


@pytest.fixture
def site(
    tmp_path: Path,
    kafka_url: str,
    calls: tuple[str, list[Call]],
    start_prometheus: Callable[..., LocalPrometheus],
    start_alertmanager: Callable[..., LocalAlertmanager],
) -> Iterator[Site]:
    topic = f"evening-{uuid.uuid4().hex}"
    with open_broker(kafka_url) as broker:
        broker.create_stream(topic)
    site = Site(tmp_path, start_prometheus, start_alertmanager, calls[0])
    try:
        both: dict[str, Any] = {
            "preset": "split-mnist",
            "partitions": 0,
            "stream": {"broker": kafka_url, "name": topic},
            "detection": {"kind": "adwin"},
        }
        [port] = free_ports(1)  # it is the same one after the restart
        site.add(KEPT, learner={"shadow": "none", "metrics_port": port}, **both)
        site.add(FORGETFUL, consolidator={"kind": "none"}, **both)
        for model in site.models.values():
            model.start_learner()
            model.start_predictor()
        site.watch()
        yield site
    finally:
        site.close()


@pytest.mark.timeout(900)
def test_the_evening(
    site: Site,
    calls: tuple[str, list[Call]],
    chromium: Browser,
    mnist_root: Path,
    tmp_path: Path,
) -> None:
    kept, forgetful = site.models[KEPT], site.models[FORGETFUL]
    page = opened(chromium, kept)
    data = kept.settings.model_copy(update={"data": mnist_root})
    simulator = Child("simulate", *REPLAY, settings=data)
    try:
        expect(page.locator("#state")).to_have_text("learning", timeout=PATIENCE)
        tasks = f'si_stream_tasks{{model="{KEPT}"}}'
        site.wait_for(lambda: (site.value(tasks) or 0) >= 3, "the third task")

        assert kept.learner is not None
        kill(kept.learner)
        expect(page.locator("#state")).to_contain_text("away since", timeout=PATIENCE)
        expect(page.locator("#healthy .verdict")).to_have_text("No")
        woken(site, calls, KEPT, "SIStreamLearnerDown")
        for task in ("digits-0-1", None):  # predictions go on, by what was learned before
            assert answers(kept, task)["predictions"]

        kept.start_learner()
        expect(page.locator("#state")).to_have_text("learning", timeout=PATIENCE)
        site.wait_for(lambda: "SIStreamLearnerDown" not in firing(site, KEPT), "all clear")
        assert simulator.wait() == 0
    finally:
        simulator.kill()
    site.wait_for(
        lambda: {status(model)["samples"] for model in (kept, forgetful)} == {SAMPLES},
        "each sample to be learned once, also by the learner that was killed",
    )

    alert = woken(site, calls, FORGETFUL, "SIStreamForgetting")
    assert site.fired(FORGETFUL) == {"SIStreamForgetting"}
    assert site.fired(KEPT) == {"SIStreamLearnerDown"}

    expect(page.locator("#state")).to_have_text("idle, up to date", timeout=PATIENCE)
    expect(page.locator("#healthy .verdict")).to_have_text("Yes")
    expect(page.locator("#forgetting .verdict")).to_have_text("No")
    main, shadow = (matrices(kept)["tracks"][track] for track in ("main", "shadow"))
    assert figure(page, "main average_accuracy") == main["average_accuracy"] > 0.95
    assert figure(page, "shadow average_accuracy") == shadow["average_accuracy"]
    assert figure(page, "main mean_forgetting") < 0.03
    assert figure(page, "shadow mean_forgetting") > 0.1
    other = opened(chromium, forgetful)
    expect(other.locator("#forgetting .verdict")).to_have_text("Yes", timeout=PATIENCE)
    assert figure(other, "main mean_forgetting") > 0.1
    expect(other.locator("#tasks")).to_contain_text(alert.labels["task"])

    assert unanswered(site, KEPT) & unanswered(site, FORGETFUL) == NOTHING_TO_SHOW.keys()
    for name, shown in ((KEPT, page), (FORGETFUL, other)):
        shown.screenshot(path=tmp_path / f"{name}.png", full_page=True)


def opened(browser: Browser, model: Model) -> Page:
    assert model.predictor is not None
    while model.predictor.address is None:
        time.sleep(0.1)
    page = browser.new_page()
    page.goto(model.predictor.address)
    return page


def woken(site: Site, calls: tuple[str, list[Call]], model: str, name: str) -> Any:
    """The alert, once it fires and somebody is told of it at night."""
    alert = site.wait_for_alert(name, model)
    site.wait_for(lambda: (model, name) in told(calls[1], "/page"), f"the page of {name}")
    return alert


def firing(site: Site, model: str) -> set[str]:
    return {one.name for one in site.prometheus.alerts() if one.labels["model"] == model}


def figure(page: Page, name: str) -> float:
    value = page.locator(f'[data-figure="{name}"]').first.get_attribute("data-value")
    assert value is not None
    return float(value)


def unanswered(site: Site, model: str) -> set[tuple[str, str]]:
    """The queries of the dashboard that have no answer of the whole evening."""
    values = {"model": model, "task": ".*"} | {
        "__interval": f"{SCRAPE_SECONDS:g}s",
        "__rate_interval": f"{4 * SCRAPE_SECONDS:g}s",
    }
    found = set()
    for query in reading.all_queries(reading.dashboard()):
        expression = query.filled(values)
        if not (
            site.prometheus.query(expression)
            if query.instant
            else site.prometheus.query_range(
                expression, start=site.started_seconds, end=time.time(), step=SCRAPE_SECONDS
            )
        ):
            found.add((query.where, query.letter))
    return found


def status(model: Model) -> dict[str, Any]:
    return asked(f"{at(model.learner)}/health")


def matrices(model: Model) -> dict[str, Any]:
    return asked(f"{at(model.predictor)}/accuracy-matrix")


def answers(model: Model, task: str | None) -> dict[str, Any]:
    body = {"inputs": [[[0] * 28] * 28], "task": task}
    return asked(f"{at(model.predictor)}/predict", json.dumps(body).encode())


def at(child: Child | None) -> str:
    assert child is not None
    assert child.address is not None
    return child.address.removesuffix("/metrics").rstrip("/")


def asked(url: str, body: bytes | None = None) -> dict[str, Any]:
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
