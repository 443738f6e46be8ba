"""Benchmarks of the predictor as a process: one row as a binary body, 784-256-256-10."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np

from benchmarks.halted_learner import halted_learner
from benchmarks.images import make_images, whole_images
from benchmarks.load import closed_loop, open_loop, post
from benchmarks.processes import Process, running, running_service
from benchmarks.rounds import Effort, Figure, alternate, ratio
from benchmarks.service import STREAM, Service, new_broker
from si_stream.learning.options import ComputeOptions, ModelOptions, NetworkOptions
from si_stream.settings import LearnerOptions, PredictorOptions, Settings
from simulators.options import ReplayOptions
from simulators.replay import replay
from simulators.scenarios import Scenario

REQUESTS_PER_SECOND = 200
SETTLING_SECONDS = 0.5


def prediction_p99_ratio(effort: Effort) -> Figure:
    """The 99th percentile of seconds to an answer while a learner trains, over that without.

    200 requests a second come at fixed times and are timed from when they were due. The learner is
    a process of one thread and `learner.niceness=19` that learns as fast as it can from an embedded
    stream; every 5 seconds it publishes a snapshot, which the predictor takes up. In the other
    rounds it is halted. The baseline is in seconds.
    """
    scenario = whole_images(make_images(effort.amount(60_000), 10))
    with (
        TemporaryDirectory() as directory,
        halted_learner(scenario, settings := _settings(directory)) as learner,
        running_service("predictor", settings) as predictor,
    ):
        port, request, count = _ready(predictor), _request(scenario), effort.amount(1600)

        def p99() -> float:
            time.sleep(SETTLING_SECONDS)
            seconds = open_loop(port, request, REQUESTS_PER_SECOND, count)
            return float(np.percentile(seconds, 99))

        return ratio(alternate(effort, 5, partial(learner.train_during, p99), p99))


def prediction_cpu_ratio(effort: Effort) -> Figure:
    """CPU seconds of the predictor for an answer, over those of a FastAPI route that reads the same
    body and answers with a few bytes, under the same settings of uvicorn.

    One client asks, one request after the other. The baseline is in seconds a request.
    """
    scenario = whole_images(make_images(1000, 10))
    with (
        TemporaryDirectory() as directory,
        running_service("predictor", settings := _settings(directory)) as predictor,
        running(["-m", "benchmarks.trivial_server"]) as trivial,
    ):
        _publish_a_snapshot(scenario, settings)
        request, count = _request(scenario), effort.amount(4000)

        def cpu_seconds(server: Process, port: int) -> float:
            before = server.cpu_seconds
            closed_loop(port, request, count)
            return (server.cpu_seconds - before) / count

        ours = partial(cpu_seconds, predictor, _ready(predictor))
        baseline = partial(cpu_seconds, trivial, trivial.port())
        return ratio(alternate(effort, 10, ours, baseline))


def _settings(directory: str) -> Settings:
    """Of a learner that is out of others' way, and of a predictor beside it."""
    return Settings(
        directory=Path(directory),
        model=ModelOptions(
            input_shape=(28, 28), outputs=10, network=NetworkOptions(hidden=(256, 256))
        ),
        compute=ComputeOptions(device="cpu"),
        learner=LearnerOptions(niceness=19, metrics_port=0),
        predictor=PredictorOptions(port=0),
    )


def _publish_a_snapshot(scenario: Scenario, settings: Settings) -> None:
    with new_broker("memory:") as broker, closing(Service(broker, settings)) as service:
        replay(scenario, ReplayOptions(), partial(broker.append, STREAM))
        service.learn_to_the_end()


def _request(scenario: Scenario) -> bytes:
    task = scenario.tasks[0]
    inputs, _ = task.test.take(np.array([0]))
    return post(f"/predict?task={quote(task.name, safe='')}", inputs.tobytes())


def _ready(predictor: Process) -> int:
    """The port of a predictor, once it has loaded a snapshot."""
    port = predictor.port()

    def is_ready() -> bool | None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz/ready"):
                return True
        except HTTPError:
            return None

    predictor.wait_for(is_ready)
    return port
