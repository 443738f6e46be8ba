"""A learner and predictors that follow it by its URL, as processes: each is killed and started
again, and predictions go on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.processes import Child
from services.serve import run as serve
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.errors import SettingsError
from si_stream.settings import Settings
from tests.services.learner_process import kill, stop, wait_for_metrics
from tests.streams import STREAM, enveloped, samples, settings

LOOK_SECONDS = 0.02
BODY = {"task": "a", "inputs": [[1, 2, 3, 4]]}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    (tmp_path / "model").mkdir()
    with EmbeddedBroker(tmp_path / "model/broker.sqlite") as broker:
        broker.create_stream(STREAM)
        yield broker


@pytest.fixture
def learning(tmp_path: Path) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # the same after a restart
    return settings(
        tmp_path / "model",
        learner={"metrics_port": port},
        stream={"broker": f"embedded:{tmp_path}/model/broker.sqlite"},
        snapshots={"interval_seconds": 0.1},
    )


def following(directory: Path, source: str) -> Settings:
    return settings(directory, predictor={"port": 0, "source": source})


def learn(broker: EmbeddedBroker, start: int) -> None:
    broker.append(STREAM, 0, enveloped([samples(80, start, task="a")]))


def answer(predictor: Child) -> dict[str, Any]:
    """As soon as there is one; from its first answer on it fails no more."""
    wait_for_metrics(predictor)
    while (given := httpx.post(f"{predictor.address}/predict", json=BODY)).status_code == 503:
        time.sleep(LOOK_SECONDS)
    assert given.status_code == 200
    told: dict[str, Any] = given.json()
    return told


def version(predictor: Child) -> tuple[int, int]:
    told = answer(predictor)["version"]
    return told["epoch"], told["step"]


def comes_to(predictor: Child, epoch: int, step: int) -> list[tuple[int, int]]:
    """The versions that it answers with until it has come there."""
    seen = [version(predictor)]
    while seen[-1] < (epoch, step):
        assert predictor.code is None, list(predictor.last_lines)
        time.sleep(LOOK_SECONDS)
        seen.append(version(predictor))
    return seen


def test_predictions_go_on_whatever_is_killed_and_none_is_older_than_one_before(
    broker: EmbeddedBroker, learning: Settings, tmp_path: Path, started: list[Child]
) -> None:
    learn(broker, 0)
    learner = Child("learner", settings=learning)
    started.append(learner)
    url = f"http://127.0.0.1:{learning.learner.metrics_port}"
    elsewhere = following(tmp_path / "copy", url)
    predictors = [Child("predictor", settings=elsewhere)]
    # The second one follows the copy of the first, as it may on one machine.
    predictors.append(Child("predictor", settings=following(tmp_path, str(tmp_path / "copy"))))
    started += predictors
    for predictor in predictors:
        comes_to(predictor, 1, 10)

    kill(learner)
    for predictor in predictors:
        assert version(predictor) == (1, 10)
    kill(predictors[0])
    predictors[0] = Child("predictor", settings=elsewhere)
    started.append(predictors[0])
    assert version(predictors[0]) == (1, 10)

    learn(broker, 80)
    learner = Child("learner", settings=learning)
    started.append(learner)
    for predictor in predictors:
        seen = comes_to(predictor, 2, 20)
        assert seen == sorted(seen)
    stop(learner)
    first, second = (answer(predictor) for predictor in predictors)
    assert first == second
    for predictor in predictors:
        stop(predictor)


def test_a_service_of_both_follows_no_other_learner(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="this predictor follows the learner beside it"):
        serve(following(tmp_path, "http://127.0.0.1:1"))
