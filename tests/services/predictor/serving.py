"""Real snapshots of real learners, and a real server on a socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import torch

from services.predictor.app import create_app
from services.predictor.front import Front
from services.predictor.server import Server
from services.web.address import listen, url_of
from services.web.certificates import certificate_of, trusting
from services.web.tokens import Tokens
from si_stream.boundaries.choice import make_chooser
from si_stream.boundaries.portraits import Portraits
from si_stream.checkpoints.snapshots import (
    ServedChoice,
    ServedTask,
    Snapshot,
    SnapshotManifest,
    SnapshotStore,
)
from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.evaluation.measures import Measures
from si_stream.learning.frozen import weights_of
from si_stream.learning.learner import Learner
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    NetworkOptions,
    OptimiserOptions,
)
from si_stream.settings import PredictorOptions

JSON = {"Content-Type": "application/json"}
ROWS = {"Content-Type": "application/octet-stream"}
TASKS = ("digits-0-1", "digits-2-3")


def model_options(**changes: Any) -> ModelOptions:
    values = {
        "input_shape": (4,),
        "outputs": 2,
        "network": NetworkOptions(hidden=(16,)),
        **changes,
    }
    return ModelOptions(**values)


def random_inputs(model: ModelOptions, count: int, seed: int = 0) -> npt.NDArray[Any]:
    generator = np.random.default_rng(seed)
    inputs = generator.integers(0, 256, (count, *model.input_shape), dtype=np.uint8)
    return inputs if model.dtype == "uint8" else inputs.astype(np.float32) / 7 - 3


class Teacher:
    """A learner that is taught a little of two tasks, and publishes when it is told to."""

    def __init__(self, directory: Path, model: ModelOptions | None = None) -> None:
        self.store = SnapshotStore(directory)
        self.model = model or model_options()
        self.learner = Learner(
            self.model,
            OptimiserOptions(learning_rate=0.01),
            ConsolidatorOptions(),
            ComputeOptions(kernel="plain"),
        )
        self.step = 0

    def teach(self, batches: int = 3) -> None:
        generator = np.random.default_rng(self.step)
        for _ in range(batches):
            for number in range(len(TASKS)):
                head = number if self.model.heads == "per-task" else 0
                inputs = torch.from_numpy(random_inputs(self.model, 8, self.step))
                labels = torch.from_numpy(generator.integers(0, self.model.outputs, 8))
                self.learner.learn(inputs, labels, head)
            self.step += 1

    def snapshot(self, **changes: Any) -> Snapshot:
        classes = {"digits-0-1": ("zero", "one"), "digits-2-3": None}
        matrix = AccuracyMatrix()
        matrix.append([0.99], trained=0)
        matrix.append([0.59, 0.97], trained=1)
        values = {
            "epoch": 1,
            "step": self.step,
            "written_seconds": time.time(),
            "model": self.model,
            "tasks": [
                ServedTask(
                    name=name,
                    head=number if self.model.heads == "per-task" else 0,
                    classes=classes[name],
                    samples=24,
                    holdout_accuracy=0.97 if number else 0.59,
                    holdout_samples=100,
                )
                for number, name in enumerate(TASKS)
            ],
            "active_task": "digits-2-3",
            "position": {0: (17, 3)},
            "samples": 48,
            "tracks": {"main": Measures(consolidator="synaptic-intelligence", accuracy=matrix)},
            **changes,
        }
        weights = {k: v.clone() for k, v in weights_of(self.learner.state()).items()}
        return Snapshot(SnapshotManifest(**values), weights)

    def publish(self, keep: int = 3, **changes: Any) -> Path:
        return self.store.publish(self.snapshot(**changes), keep)

    def choosable(self) -> Snapshot:
        """With a portrait of each task: of random inputs, darker ones for the second."""
        portraits = Portraits(self.model.input_shape, self.model.width)
        for number in range(len(TASKS)):
            inputs = torch.from_numpy(random_inputs(self.model, 300, number)) // (1 + number)
            portraits.see(number, inputs, torch.arange(300) % self.model.width)
            portraits.end(number)
        made = make_chooser(self.model.input_shape, portraits.known, {})
        assert made is not None
        choice = ServedChoice(temperature=made.chooser.temperature, fitted_samples=0)
        return self.snapshot(choice=choice)._replace(
            portraits=dict(enumerate(made.chooser.likenesses))
        )

    def publish_choosable(self) -> Path:
        return self.store.publish(self.choosable(), keep=3)

    def probabilities(self, inputs: npt.NDArray[Any], head: int) -> npt.NDArray[np.float32]:
        """What the learner itself would say of these inputs."""
        logits = self.learner.predict(torch.from_numpy(inputs.copy()), head)
        probabilities: npt.NDArray[np.float32] = torch.softmax(logits, 1).numpy()
        return probabilities


@dataclass
class Running:
    url: str
    app: Front
    client: httpx.Client
    server: Server
    thread: threading.Thread

    def predict(self, task: str, inputs: npt.NDArray[Any]) -> httpx.Response:
        return self.client.post("/predict", json={"task": task, "inputs": inputs.tolist()})

    def predict_rows(self, task: str, inputs: npt.NDArray[Any]) -> httpx.Response:
        return self.client.post(
            "/predict", params={"task": task}, content=inputs.tobytes(), headers=ROWS
        )

    def connect(self) -> socket.socket:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return socket.create_connection((host, int(port)), timeout=30)

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.client.get("/healthz/ready").status_code == 200)


def wait_for(condition: Callable[[], bool]) -> None:
    """The test's own time limit ends a wait for what never comes."""
    while not condition():
        time.sleep(0.01)


@contextmanager
def serving(directory: Path, **options: Any) -> Iterator[Running]:
    """A predictor on a free port, in a thread of its own; ``own_module`` is one of the options."""
    own_module = options.pop("own_module", None)
    chosen = PredictorOptions(poll_interval_seconds=0.01, **options)
    app = create_app(chosen, directory, own_module)
    token = Tokens("predictor.token", chosen.token, chosen.token_file)
    certificate = certificate_of("predictor.tls", chosen)
    listener = listen("127.0.0.1", 0)
    url = url_of(listener, tls=certificate is not None)
    server = Server(app, chosen, token, certificate)

    def run() -> None:
        torch.set_num_threads(1)
        server.run(sockets=[listener])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        headers = {"Authorization": f"Bearer {token.first()}"} if token else {}
        verify: Any = trusting(chosen.tls_certificate_file) if chosen.tls_certificate_file else True
        with httpx.Client(base_url=url, timeout=30, headers=headers, verify=verify) as client:
            yield Running(url, app, client, server, thread)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def listening(running: Running, *, alive: bool = False) -> Iterator[Iterator[dict[str, Any]]]:
    """The data of the events, as they come; of signs of life only with ``alive``."""

    def data(response: httpx.Response) -> Iterator[dict[str, Any]]:
        kind = ""
        for line in response.iter_lines():
            if line.startswith("data: ") and kind == ("alive" if alive else ""):
                yield json.loads(line.removeprefix("data: "))
            kind = line.removeprefix("event: ") if line.startswith("event: ") else ""

    with running.client.stream("GET", "/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        yield data(response)
