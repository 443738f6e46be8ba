"""Benchmarks of the predictor as a process: one image a request, in binary; 784-256-256-10."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np

from benchmarks.halted_learner import halted_learner
from benchmarks.images import make_images, whole_images
from benchmarks.load import closed_loop, closed_loops, open_loop, post
from benchmarks.processes import Process, running, running_service
from benchmarks.rounds import Effort, Figure, alternate, figure, ratio
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
    return _p99_ratio(effort, _rows)


def inference_p99_ratio(effort: Effort) -> Figure:
    """The same by the Open Inference Protocol, with binary tensors both ways."""
    return _p99_ratio(effort, _tensor)


def prediction_cpu_ratio(effort: Effort) -> Figure:
    """CPU seconds of the predictor for an answer, over those of a FastAPI route that reads the same
    body and answers with a few bytes, under the same settings of uvicorn.

    One client asks, one request after the other. The baseline is in seconds a request.
    """
    return _cpu_ratio(effort, _rows)


def inference_cpu_ratio(effort: Effort) -> Figure:
    """The same by the Open Inference Protocol, with binary tensors both ways."""
    return _cpu_ratio(effort, _tensor)


def predictions_per_second(effort: Effort) -> Figure:
    """Requests that a predictor answers for each second of a core, of 16 clients that each ask
    again as soon as they are answered.

    Alone among the benchmarks of speed this is no ratio: it is of this machine, and says how many
    replicas a load needs. The baseline is the same of a FastAPI route that reads the body.
    """
    with _beside_trivial(_rows) as (predictor, trivial, request):
        count = effort.amount(8000)

        def per_second(server: Process, port: int) -> float:
            before = server.cpu_seconds
            closed_loops(port, request, 16, count)
            return count / (server.cpu_seconds - before)

        ours = partial(per_second, predictor, _ready(predictor))
        pairs = alternate(effort, 10, ours, partial(per_second, trivial, trivial.port()))
        return figure(
            [pair.ours for pair in pairs], "requests/s", [pair.baseline for pair in pairs]
        )


def micro_batch_ratio(effort: Effort) -> Figure:
    """Answers a second with `predictor.batch_window_seconds=0.0001` over those without, for 64
    clients that each ask again as soon as they are answered; of 784-2000-2000-10.

    The predictors have one thread each, and take turns on the core that the clients do not need.
    """
    scenario = whole_images(make_images(1000, 10))
    with TemporaryDirectory() as directory:
        settings = _settings(directory, hidden=(2000, 2000))
        _publish_a_snapshot(scenario, settings)
        batching = settings.predictor.model_copy(update={"batch_window_seconds": 0.0001})
        with (
            running_service("predictor", settings) as alone,
            running_service(
                "predictor", settings.model_copy(update={"predictor": batching})
            ) as batch,
        ):
            request, count = _rows(scenario), effort.amount(2000)

            def per_second(port: int) -> float:
                return count / closed_loops(port, request, 64, count)

            ours = partial(per_second, _ready(batch))
            return ratio(alternate(effort, 10, ours, partial(per_second, _ready(alone))))


def _p99_ratio(effort: Effort, request_of: Callable[[Scenario], bytes]) -> Figure:
    scenario = whole_images(make_images(effort.amount(60_000), 10))
    with (
        TemporaryDirectory() as directory,
        halted_learner(scenario, settings := _settings(directory)) as learner,
        running_service("predictor", settings) as predictor,
    ):
        port, request, count = _ready(predictor), request_of(scenario), effort.amount(1600)

        def p99() -> float:
            time.sleep(SETTLING_SECONDS)
            seconds = open_loop(port, request, REQUESTS_PER_SECOND, count)
            return float(np.percentile(seconds, 99))

        return ratio(alternate(effort, 5, partial(learner.train_during, p99), p99))


def _cpu_ratio(effort: Effort, request_of: Callable[[Scenario], bytes]) -> Figure:
    with _beside_trivial(request_of) as (predictor, trivial, request):
        count = effort.amount(4000)

        def cpu_seconds(server: Process, port: int) -> float:
            before = server.cpu_seconds
            closed_loop(port, request, count)
            return (server.cpu_seconds - before) / count

        ours = partial(cpu_seconds, predictor, _ready(predictor))
        baseline = partial(cpu_seconds, trivial, trivial.port())
        return ratio(alternate(effort, 10, ours, baseline))


@contextmanager
def _beside_trivial(
    request_of: Callable[[Scenario], bytes],
) -> Iterator[tuple[Process, Process, bytes]]:
    """A predictor with a snapshot, a FastAPI route, and a request for either."""
    scenario = whole_images(make_images(1000, 10))
    with (
        TemporaryDirectory() as directory,
        running_service("predictor", settings := _settings(directory)) as predictor,
        running(["-m", "benchmarks.trivial_server"]) as trivial,
    ):
        _publish_a_snapshot(scenario, settings)
        yield predictor, trivial, request_of(scenario)


def _settings(directory: str, hidden: tuple[int, ...] = (256, 256)) -> Settings:
    """Of a learner that is out of others' way, and of a predictor beside it."""
    return Settings(
        directory=Path(directory),
        model=ModelOptions(input_shape=(28, 28), outputs=10, network=NetworkOptions(hidden=hidden)),
        compute=ComputeOptions(device="cpu"),
        learner=LearnerOptions(niceness=19, metrics_port=0),
        predictor=PredictorOptions(port=0),
    )


def _publish_a_snapshot(scenario: Scenario, settings: Settings) -> None:
    with new_broker("memory:") as broker, closing(Service(broker, settings)) as service:
        replay(scenario, ReplayOptions(), partial(broker.append, STREAM))
        service.learn_to_the_end()


def _rows(scenario: Scenario) -> bytes:
    """One input as a binary body."""
    task = scenario.tasks[0]
    inputs, _ = task.test.take(np.array([0]))
    return post(f"/predict?task={quote(task.name, safe='')}", inputs.tobytes())


def _tensor(scenario: Scenario) -> bytes:
    """The same by the Open Inference Protocol, as its clients send it, all outputs in binary."""
    task = scenario.tasks[0]
    inputs, _ = task.test.take(np.array([0]))
    tensor = {
        "name": "input",
        "shape": list(inputs.shape),
        "datatype": "UINT8",
        "parameters": {"binary_data_size": inputs.nbytes},
    }
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(request).encode()
    path = f"/v2/models/si-stream/{quote(task.name)}/infer"
    return post(path, head + inputs.tobytes(), Inference_Header_Content_Length=str(len(head)))


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
