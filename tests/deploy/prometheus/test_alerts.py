"""Faults that are caused for real, at real processes: the alert fires, and its page arrives. A
healthy model beside them, with a shadow that forgets as much as the forgetful one, has none.

The other faults are in `every_fault.py`, which takes longer: `make alert-test`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus
from si_stream.brokers.interface import Envelope
from tests.deploy.prometheus.site import Call, Site, told, webhook
from tests.services.learner_process import kill

REPLAY = ("--epochs", "10")
STEPS = 900  # of the replay, and one to warm up
SLOWLY = ("--rate", "2000")  # samples a second: it takes seven seconds


@pytest.fixture(scope="module")
def calls() -> Iterator[tuple[str, list[Call]]]:
    with webhook() as found:
        yield found


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    calls: tuple[str, list[Call]],
    start_prometheus: Callable[..., LocalPrometheus],
    start_alertmanager: Callable[..., LocalAlertmanager],
) -> Iterator[Site]:
    """A healthy model and one without consolidation, that have learned the same stream."""
    address, _ = calls
    directory = tmp_path_factory.mktemp("site")
    site = Site(directory, start_prometheus, start_alertmanager, address)
    try:
        healthy = site.add("healthy", learner={"shadow": "none"})
        forgetful = site.add("forgetful", consolidator={"strength": 0})
        for model in (healthy, forgetful):
            model.start_learner()
            model.start_predictor()
        for model in (healthy, forgetful):
            model.warm_up()
        site.watch()
        forgetful.replay(*REPLAY)
        healthy.replay(*REPLAY, *SLOWLY)
        yield site
    finally:
        site.close()


def test_the_learner_and_the_predictor_are_scraped_while_the_stream_comes(site: Site) -> None:
    for selector in (
        'si_stream_step{model="healthy"}',
        'si_stream_served_snapshot_step{model="healthy"}',
    ):
        site.wait_for(partial(site.has_value, selector, STEPS), selector)
        [series] = site.prometheus.query_range(
            selector, start=site.started_seconds, end=time.time(), step=0.5
        )
        steps = [value for _, value in series.values]
        assert steps == sorted(steps)
        assert len(set(steps)) >= 2, steps


def test_a_learner_without_consolidation_forgets_and_somebody_is_woken(
    site: Site, calls: tuple[str, list[Call]]
) -> None:
    alert = site.wait_for_alert("SIStreamForgetting", "forgetful")
    assert alert.labels["track"] == "main"
    assert alert.annotations["summary"].startswith("forgetful forgets task digits-")
    page = ("forgetful", "SIStreamForgetting")
    site.wait_for(lambda: page in told(calls[1], "/page"), "the page")


def test_messages_that_cannot_be_learned_from_make_a_ticket_and_wake_nobody(
    site: Site, calls: tuple[str, list[Call]]
) -> None:
    model, ticket = site.models["forgetful"], ("forgetful", "SIStreamDeadLetters")
    model.send(*[Envelope({}, b"?")] * 30)
    site.wait_for_alert("SIStreamDeadLetters", "forgetful")

    def is_told() -> bool:
        model.send(Envelope({}, b"?"))  # or it would be over before the ticket, on a busy machine
        return ticket in told(calls[1], "/ticket")

    site.wait_for(is_told, "the ticket")
    assert ticket not in told(calls[1], "/page")


def test_a_learner_and_a_predictor_that_are_killed_are_down(
    site: Site, calls: tuple[str, list[Call]]
) -> None:
    model = site.models["forgetful"]
    assert model.learner is not None
    assert model.predictor is not None
    kill(model.learner)
    kill(model.predictor)
    for name in ("SIStreamLearnerDown", "SIStreamPredictorDown"):
        site.wait_for_alert(name, "forgetful")
    pages = {("forgetful", "SIStreamLearnerDown"), ("forgetful", "SIStreamPredictorDown")}
    site.wait_for(lambda: pages <= told(calls[1], "/page"), "the pages")


def test_the_healthy_model_has_had_no_alert_though_its_shadow_forgets(
    site: Site, calls: tuple[str, list[Call]]
) -> None:
    # For longer than the alert takes to fire.
    forgotten = (
        'max(min_over_time(si_stream_forgetting_ratio{model="healthy", track="shadow"}[10s]))'
    )
    site.wait_for(lambda: (site.value(forgotten) or 0) > 0.3, forgotten)
    assert site.fired("healthy") == set()
    assert {model for path, _ in calls[1] for model, _ in told(calls[1], path)} <= {"forgetful"}
