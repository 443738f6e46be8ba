"""The shipped Alertmanager, told of alerts as a Prometheus tells of them: whom it calls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

from deploy.prometheus.local_prometheus import LocalAlertmanager
from deploy.prometheus.rules import ALERTMANAGER_FILE, divided, read
from tests.deploy.prometheus.site import to_webhook, told, webhook

LIMIT_SECONDS = 60


def post(alertmanager: LocalAlertmanager, *alerts: dict[str, str]) -> None:
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    request = Request(
        f"{alertmanager.address}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    urlopen(request, timeout=LIMIT_SECONDS).close()


def alert(model: str, name: str, severity: str, **labels: str) -> dict[str, str]:
    return {"model": model, "alertname": name, "severity": severity, **labels}


def test_it_calls_for_pages_and_tickets_and_neither_for_a_shadow_nor_for_what_follows(
    start_alertmanager: Callable[..., LocalAlertmanager], tmp_path: Path
) -> None:
    document = divided(read(ALERTMANAGER_FILE), by=60, least_seconds=1)
    with webhook() as (address, calls):
        alertmanager = start_alertmanager(
            tmp_path, {"alertmanager.yml": to_webhook(document, address)}
        )
        post(
            alertmanager,
            alert("a", "SIStreamLearnerDown", "page"),
            alert("a", "SIStreamPredictorOld", "page"),  # of which the learner's end is the cause
            alert("a", "SIStreamLossNotFinite", "ticket"),  # which may be the cause of it
            alert("b", "SIStreamPredictorOld", "page"),
            alert("b", "SIStreamForgetting", "page", track="main"),
            alert("c", "SIStreamForgetting", "page", track="shadow"),
            alert("d", "SIStreamPartitionEmpty", "page", partition="1"),
            alert("d", "SIStreamLagRising", "ticket"),  # as messages wait for the partition
        )
        pages = {
            ("a", "SIStreamLearnerDown"),
            ("b", "SIStreamPredictorOld"),
            ("b", "SIStreamForgetting"),
            ("d", "SIStreamPartitionEmpty"),
        }
        tickets = {("a", "SIStreamLossNotFinite")}
        deadline = time.monotonic() + LIMIT_SECONDS
        while (told(calls, "/page"), told(calls, "/ticket")) != (pages, tickets):
            assert time.monotonic() < deadline, calls
            time.sleep(0.1)
        time.sleep(2)  # longer than any group waits
        assert (told(calls, "/page"), told(calls, "/ticket")) == (pages, tickets)
        assert {
            (one.labels["model"], one.name)
            for one in alertmanager.alerts()
            if one.state == "suppressed"
        } == {("a", "SIStreamPredictorOld"), ("d", "SIStreamLagRising")}
    # What is wrong with one model comes in one call.
    grouped = [
        {one["labels"]["alertname"] for one in body["alerts"]}
        for path, body in calls
        if path == "/page" and body["groupLabels"] == {"model": "b"}
    ]
    assert {"SIStreamPredictorOld", "SIStreamForgetting"} in grouped
