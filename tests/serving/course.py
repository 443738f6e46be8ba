"""What is done to a site while requests come, and what is seen meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import orjson

from si_stream.brokers import open_broker
from simulators.scenarios import load_scenario
from tests.serving.balancer import Answer, Balancer, Version, post
from tests.serving.site import MODEL, Site, wait_for
from tests.serving.verdict import Seen
from tests.soak.load import Sender

STREAM = "samples"
SAMPLES_PER_SECOND = 200.0
FULL_SECONDS = 3.0


def requests(task: str) -> list[bytes]:
    """The ways to ask for the same prediction: of /predict and of the Open Inference Protocol."""
    image = np.zeros((1, 8, 8), np.uint8)
    inputs = image.tolist()
    tensor = {"name": "input", "datatype": "UINT8", "shape": [1, 8, 8]}
    question = {"parameters": {"task": task}}
    in_json = orjson.dumps({"inputs": [tensor | {"data": image.ravel().tolist()}], **question})
    size = {"parameters": {"binary_data_size": image.nbytes}}
    head = orjson.dumps({"inputs": [tensor | size], **question})
    infer, binary = f"/v2/models/{MODEL}/infer", "application/octet-stream"
    length = {"Inference_Header_Content_Length": len(head)}
    return [
        post(infer, "application/json", in_json),
        post(infer, binary, head + image.tobytes(), **length),
        post("/predict", "application/json", orjson.dumps({"task": task, "inputs": inputs})),
        post(f"/predict?task={task}", binary, image.tobytes()),
    ]


def run(
    directory: Path,
    broker_url: str,
    *,
    predictors: int,
    rounds: int,
    per_second: float,
    tell: Callable[[str], None] = print,
    calm_seconds: float = 2.5,
    rollback: bool = True,
) -> tuple[Seen, float]:
    """What was seen, and when it was over. Each round kills the learner and a predictor, fills the
    learner's disk, and, with ``rollback``, goes back to an older checkpoint; a calm before each."""
    scenario = load_scenario("split-digits")
    site = Site(directory, broker_url, predictors)
    with open_broker(broker_url) as broker:
        broker.create_stream(STREAM)
        sender = Sender(broker, STREAM, scenario, SAMPLES_PER_SECOND)
        balancer = Balancer(site.ports, requests(scenario.tasks[0].name), per_second)
        try:
            site.start()
            sender.start()
            balancer.start()
            wait_for(lambda: all(balancer.ready), "all predictors")
            site.all_have_come()
            victims = cycle(range(predictors))
            deeds: list[tuple[str, Callable[[], None]]] = [
                ("the learner is killed", site.kill_learner),
                ("a predictor is killed", lambda: site.kill_predictor(next(victims))),
                ("the learner's disk is full", lambda: fill_disk(site)),
                *([("it is rolled back", site.roll_back)] if rollback else []),
            ]
            for number in range(1, rounds + 1):
                for what, act in deeds:
                    time.sleep(calm_seconds)
                    tell(f"round {number} of {rounds}: {what}")
                    act()
            time.sleep(2 * calm_seconds)
            publications = sorted(site.publications.values(), key=lambda one: one.at)
            newest = publications[-1].version
            wait_for(
                lambda: set(range(predictors)) <= at_least(newest, balancer.answers), str(newest)
            )
        finally:
            answers = balancer.finish() if balancer._thread.ident else []
            sender.finish()
            site.close()
    outages = (site.learner_outages, site.predictor_outages)
    return Seen(answers, publications, *outages, site.disk_seconds), time.time()


def at_least(version: Version, answers: list[Answer]) -> set[int | None]:
    """The predictors that have answered by such a snapshot or a newer one."""
    return {one.predictor for one in list(answers) if one.version and one.version >= version}


def fill_disk(site: Site) -> None:
    """Until nothing was published for a while; then there is room again."""
    with site.full_disk():
        time.sleep(1.0)  # for what was being written
        before = len(site.publications)
        time.sleep(FULL_SECONDS)
        assert len(site.publications) == before, "the disk was not full"
    wait_for(lambda: len(site.publications) > before, "a snapshot on a disk with room")
