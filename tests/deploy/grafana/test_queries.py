"""Each query of the dashboard asks for metrics that are there, and a real Prometheus answers it
after a real replay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from matplotlib.text import Text

from deploy.grafana import reading
from deploy.grafana.answers import Answers
from deploy.grafana.painting import Painter
from deploy.grafana.pictures import NAMES, row_figure
from deploy.grafana.watched_replay import Watched, watched_replay
from si_stream.settings import load_settings

SCRAPE_SECONDS = 1
READ = reading.dashboard()
METRICS_PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
OF_PROMETHEUS = {"up", "ALERTS"}
# What is seen of alerts must not depend on how fast this machine is.
ALWAYS = {"groups": [{"name": "a", "rules": [{"alert": "AlwaysFires", "expr": "up == 1"}]}]}
# The queries that a replay in which all goes well leaves without an answer: where, letter, why.
NOTHING_TO_SHOW = {
    ("Faults", "G"): "the predictor has no fault",
    ("Retention margin", "A"): "only Kafka removes what was not read",
    ("GPU memory", "A"): "it is learned on the CPU",
    ("Open outputs", "A"): "the labels are fixed",
}
# Some of what a picture of a row must say after this replay.
SHOWN = {
    "1 · Healthy?": {"UP", "none", "2", "AlwaysFires", " firing"},
    "2 · Forgetting?": {"digits-0-1", "digits-8-9", "shadow forgets", "72"},
    "3 · Why?": set[str](),
    "4 · Resources": {"No data"},
}


@pytest.fixture(scope="module")
def watched(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Digits with told boundaries, then the same again with silent ones."""
    assert promtool  # and so Prometheus
    place = tmp_path_factory.mktemp("watched")
    settings = load_settings(
        overrides={
            "preset": "split-digits",
            "directory": place / "model",
            "stream.broker": f"embedded:{place}/broker.sqlite",
            "holdout.source": "messages",
            "holdout.evaluation_interval_steps": 20,
            "checkpoints.interval_seconds": 2,
            "detection.kind": "adwin",
            "learner.shadow": "none",
            "learner.metrics_port": 0,
            "predictor.port": 0,
            "compute.device": "cpu",
        }
    )
    steady = ("--epochs", "6", "--rate", "2000")
    told = ("split-digits", *steady, "--no-end")
    silent = ("split-digits", *steady, "--boundaries", "silent", "--no-holdout")
    prometheus = place / "prometheus"
    with watched_replay(
        settings, prometheus, told, silent, scrape_seconds=SCRAPE_SECONDS, alerts=ALWAYS
    ) as seen:
        yield seen


@pytest.fixture(scope="module")
def exported(watched: Watched) -> set[str]:
    """The metrics of the learner and of the predictor, as their pages name them."""
    pages = [target["scrapeUrl"] for target in watched.prometheus.targets()]
    assert len(pages) == 2
    names: set[str] = set()
    for page in pages:
        with urlopen(page, timeout=10) as answer:
            names |= set(re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.MULTILINE))
    # When a counter began, which the client library adds by itself.
    return {name for name in names if not name.endswith("_created")}


def asked_metrics() -> set[str]:
    """All that panels, annotations and variables name, a histogram's parts as the histogram."""
    texts = [query.expression for query in reading.all_queries(READ)]
    texts += [str(variable["query"]) for variable in READ["templating"]["list"]]
    found = {name for text in texts for name in re.findall(r"\b(\w+)\{", text)}
    return {name.removesuffix("_bucket") for name in found}


def values(watched: Watched) -> dict[str, str]:
    """Of the variables, as Grafana fills them in with points as close as scrapes."""
    return {
        "model": watched.model,
        "task": ".*",
        "__interval": f"{SCRAPE_SECONDS}s",
        "__rate_interval": f"{4 * SCRAPE_SECONDS}s",
    }


def test_every_metric_of_the_dashboard_is_exported(exported: set[str]) -> None:
    asked = asked_metrics()
    assert len(asked) > 50
    assert asked - OF_PROMETHEUS - exported == set()


def test_every_exported_metric_is_on_the_dashboard_or_explained(exported: set[str]) -> None:
    explained = set(re.findall(r"`(\w+)`", METRICS_PAGE.read_text("utf-8")))
    ours = {name for name in exported if name.startswith("si_stream_")}
    assert ours - asked_metrics() - explained == set()
    # What is too much for a dashboard is little: the rest can be seen there.
    assert len(ours - asked_metrics()) <= 5, sorted(ours - asked_metrics())


def test_every_query_has_an_answer_after_a_replay(watched: Watched) -> None:
    unanswered = set()
    for query in reading.all_queries(READ):
        expression = query.filled(values(watched))
        answered = (
            watched.prometheus.query(expression)
            if query.instant
            else watched.prometheus.query_range(
                expression, start=watched.began, end=watched.ended, step=SCRAPE_SECONDS
            )
        )
        if not answered:
            unanswered.add((query.where, query.letter))
    assert unanswered == NOTHING_TO_SHOW.keys()


def test_the_tiles_tell_that_all_is_well(watched: Watched) -> None:
    shown: dict[str, float | str] = {}
    for panel in reading.panels(READ):
        if panel["type"] == "stat":
            [query] = reading.queries(panel)
            [sample] = watched.prometheus.query(query.filled(values(watched)), at=watched.ended)
            shown[panel["title"]] = sample.value if not query.legend else query.name(sample.labels)
    assert shown["Learner"] == shown["Predictor"] == 1
    assert shown["Alerts firing"] == 2  # that of this test alone, of each target
    assert shown["Lag"] == shown["Faults in 15 min"] == 0
    assert str(shown["What learns"]).startswith("mlp · synaptic-intelligence ")
    assert shown["Task in training"] == "digits-8-9"


def test_each_boundary_and_each_alarm_is_marked_once(watched: Watched) -> None:
    marks = {query.where: query for query in reading.all_queries(READ) if query.letter == "Anno"}

    def seen(name: str) -> float:
        found = watched.prometheus.query_range(
            marks[name].filled(values(watched)),
            start=watched.began,
            end=watched.ended,
            step=SCRAPE_SECONDS,
        )
        return sum(value for series in found for _, value in series.values)

    def counted(series: str) -> float:
        [total] = watched.prometheus.query(f"sum({series})", at=watched.ended)
        return total.value

    assert seen("Boundaries") == counted("si_stream_consolidations_total") >= 9
    taken = counted('si_stream_detector_alarms_total{decision="taken"}')
    assert seen("Alarms taken") == taken >= 1
    assert seen("Starts") > 0


def test_the_pictures_show_every_panel_with_what_prometheus_answers(watched: Watched) -> None:
    painter = Painter(Answers(watched, SCRAPE_SECONDS), READ["annotations"]["list"])
    for title, panels in reading.rows(READ).items():
        if title in NAMES:
            figure = row_figure(title, panels, painter)
            shown = {found.get_text() for found in figure.findobj(Text)}
            assert shown >= {title, *(panel["title"] for panel in panels)}
            assert shown >= SHOWN[title], shown
