"""What a Prometheus server finds at a learner that learns and a predictor that answers."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.messages.kinds import End
from tests.services.learner_process import LIMIT_SECONDS, wait_until
from tests.services.predictor.serving import serving, wait_for
from tests.streams import DIGITS, digits_stream, enveloped, filled, samples, settings

DOCS = Path(__file__).parents[2] / "docs"


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=LIMIT_SECONDS) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of a learner with a shadow that has learned three tasks and rejected a message, and of a
    predictor that has answered."""
    directory = tmp_path_factory.mktemp("model")
    url = f"embedded:{directory}/broker.sqlite"
    chosen = settings(
        directory,
        model=DIGITS,
        learner={"shadow": "none"},
        stream={"broker": url},
        holdout={"evaluation_interval_steps": 5},
        detection={"kind": "adwin"},
        snapshots={"interval_seconds": 0.1},
    )
    with EmbeddedBroker(directory / "broker.sqlite") as broker:
        filled(broker, [*digits_stream(end=False), *enveloped([samples(1), End("end")])])
    learner = Child("learner", settings=chosen)
    try:
        wait_until(learner, "si_stream_consolidations_total", 3)
        assert learner.address is not None
        with serving(directory) as predictor:
            predictor.wait_until_ready()
            inputs = np.zeros((2, 8, 8), np.uint8)
            wait_for(lambda: predictor.predict_rows("digits-4-5", inputs).status_code == 200)
            yield {
                "learner": page(learner.address),
                "predictor": predictor.client.get("/metrics").text,
            }
    finally:
        learner.kill()
        learner.wait()


@pytest.mark.parametrize("process", ["learner", "predictor"])
def test_promtool_finds_nothing_to_complain_of(
    process: str, pages: dict[str, str], promtool: str
) -> None:
    command = [promtool, "check", "metrics"]
    found = subprocess.run(
        command, input=pages[process], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("process", ["learner", "predictor"])
def test_all_that_is_served_is_documented_or_of_the_process(
    process: str, pages: dict[str, str]
) -> None:
    documented = set(re.findall(r"`(si_stream_\w+)`", (DOCS / "metrics.md").read_text("utf-8")))
    served = set(re.findall(r"^# TYPE (\S+) ", pages[process], re.MULTILINE))
    standard = {name for name in served if name.startswith("process_")}
    assert standard >= {"process_resident_memory_bytes", "process_open_fds"}
    assert served - standard <= documented
    assert len(served - standard) > 10


def test_the_learner_tells_how_sure_its_forgetting_is_and_what_it_is(
    pages: dict[str, str],
) -> None:
    families = {one.name: one for one in text_string_to_metric_families(pages["learner"])}
    forgetting, error = (
        {(s.labels["track"], s.labels["task"]) for s in families[f"si_stream_{name}"].samples}
        for name in ("forgetting_ratio", "forgetting_standard_error_ratio")
    )
    tasks = ("digits-0-1", "digits-2-3")
    assert forgetting == error == {(track, task) for track in ("main", "shadow") for task in tasks}
    (model,) = families["si_stream_model_info"].samples
    assert model.labels.keys() == {
        *("model", "network", "consolidator", "strength", "detector", "device", "version")
    }
    assert (model.labels["detector"], model.value) == ("adwin", 1)
    assert families["si_stream_read_ahead_messages"].samples[0].value == 0
    ages = {sample.labels["task"] for sample in families["si_stream_holdout_age_seconds"].samples}
    assert ages == {*tasks, "digits-4-5"}
