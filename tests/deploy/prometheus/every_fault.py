"""The faults that `test_alerts.py` does not cause: `make alert-test`, some minutes.

Each model has several one after the other, and all models have theirs at the same time. A test
causes a fault, waits for its alert, and looks that no other one fires of it.
"""

from __future__ import annotations

import os
import resource
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread

import httpx
import numpy as np
import pytest

from deploy.prometheus.local_prometheus import LocalAlertmanager, LocalPrometheus
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.messages.kinds import Boundary, Samples
from tests.deploy.prometheus import slow_trunk
from tests.deploy.prometheus.site import Model, Site, target, webhook
from tests.services.learner_process import changed
from tests.streams import STREAM, enveloped

BATCH = 16
WORLD_SAMPLES = 800
TOKENS = ("read-token", "source-token")
"""The files of a learner and of the predictor that follows it by its URL."""
SMALLER_THAN_A_SNAPSHOT_BYTES = 200_000
MESSAGES, DELETED = 3000, 20
CLIENTS = 4


def batch(number: int, world: int = 0, dtype: str = "uint8", **kind: str) -> Samples:
    """Sixteen samples of two classes, which look as they do in one world only."""
    looks = np.random.default_rng(world).integers(0, 200, (2, 8, 8))
    generator = np.random.default_rng(number)
    labels = generator.integers(0, 2, BATCH)
    inputs = looks[labels] + generator.integers(0, 50, (BATCH, 8, 8))
    return Samples(inputs.astype(dtype), labels.astype(np.int64), **kind)  # type: ignore[arg-type]


class Sender:
    """Sends a batch to a partition every so many seconds, until it is stopped."""

    def __init__(
        self, model: Model, make: Callable[[int], Samples], *, every: float, partition: int = 0
    ) -> None:
        self._path = model.settings.directory / "broker.sqlite"
        self._make = make
        self._every = every
        self._partition = partition
        self._enough = Event()
        self._thread = Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        number = 0
        with EmbeddedBroker(self._path) as broker:
            while not self._enough.wait(max(self._every, 0.05)):
                count = max(1, round(0.05 / self._every))  # an append is a flush of the disk
                made = [self._make(n) for n in range(number, number + count)]
                broker.append(STREAM, self._partition, enveloped(made))
                number += count

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()


@contextmanager
def full_disk(child: Child) -> Iterator[None]:
    """The kernel lets no file of the process grow further: a full disk for root too."""
    process = child._process.pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (SMALLER_THAN_A_SNAPSHOT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)


@contextmanager
def besieged_by_clients(model: Model) -> Iterator[None]:
    """Each asks for a prediction at once again, whatever the answer."""
    assert model.predictor is not None
    url = f"http://{target(model.predictor)}/predict?task=a"
    row, enough = bytes(64), Event()

    def ask() -> None:
        headers = {"Content-Type": "application/octet-stream"}
        with httpx.Client(timeout=60) as client:
            while not enough.wait(0.01):
                assert client.post(url, content=row, headers=headers).status_code in (200, 429)

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            enough.set()
    for one in asking:
        one.result()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    start_prometheus: Callable[..., LocalPrometheus],
    start_alertmanager: Callable[..., LocalAlertmanager],
    kafka_url: str,
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    pace = directory / "pace"
    pace.write_text("0")
    os.environ[slow_trunk.FILE_VARIABLE] = str(pace)
    with webhook() as (address, _):
        site = Site(directory, start_prometheus, start_alertmanager, address)
        try:
            add_models(site, kafka_url)
            site.watch()
            yield site
        finally:
            site.close()


def add_models(site: Site, kafka_url: str) -> None:
    own_trunk = {"kind": "module", "module": f"{slow_trunk.__name__}:trunk"}
    slow = {"input_shape": (8, 8), "outputs": 2, "batch_size": BATCH} | {"network": own_trunk}
    site.add("slow", model=slow)
    besieged = site.add(
        "besieged",
        model=slow,
        stream={"broker": kafka_url, "name": f"besieged-{uuid.uuid4().hex}"},
        predictor={"max_waiting": 1},
    )
    site.add(
        "parts",
        partitions=2,
        model={"input_shape": (8, 8), "outputs": 2} | {"batch_size": BATCH, "dtype": "float32"},
    )
    for name in TOKENS:
        (site.directory / name).write_text("open sesame")
    # Measured at boundaries alone.
    full = site.add(
        "full",
        holdout={"evaluation_interval_steps": 1_000_000},
        learner={"read_token_file": site.directory / TOKENS[0]},
        predictor={"source_token_file": site.directory / TOKENS[1]},
    )
    storm = site.add(
        "storm",
        detection={"kind": "adwin"},
        model={"input_shape": (8, 8), "outputs": 2, "batch_size": 4 * BATCH},
    )
    storm.labels["idle"] = "never"
    for model in site.models.values():
        model.start_learner()
    besieged.start_predictor()
    link = site.directory / "link"
    link.symlink_to(site.models["parts"].settings.directory)
    site.models["parts"].start_predictor(link)
    assert full.learner is not None
    full.settings = changed(full.settings, "predictor", source=f"http://{target(full.learner)}")
    full.start_predictor(site.directory / "copy")


def test_a_learner_that_is_too_slow_falls_behind_and_one_that_hangs_takes_in_no_sample(
    site: Site,
) -> None:
    pace = site.directory / "pace"
    sender = Sender(site.models["slow"], batch, every=0.01)
    try:
        pace.write_text("0.1")
        site.wait_for_alert("SIStreamLagRising", "slow")
        assert site.fired("slow") == {"SIStreamLagRising"}
        pace.write_text(slow_trunk.STUCK)
        for name in ("SIStreamNoSample", "SIStreamCheckpointOld"):
            site.wait_for_alert(name, "slow")
    finally:
        pace.write_text("0")
        sender.stop()
    assert site.fired("slow") == {
        *("SIStreamLagRising", "SIStreamNoSample", "SIStreamCheckpointOld")
    }


def test_a_loss_that_is_not_finite_and_a_partition_that_has_no_sender(site: Site) -> None:
    parts = site.models["parts"]

    def good(number: int) -> Samples:
        return batch(number, dtype="float32")

    def now_and_then_huge(number: int) -> Samples:
        found = good(number)
        if number % 50 == 49:
            return Samples(np.full_like(found.inputs, 3e38), found.labels)
        return found

    senders = [
        Sender(parts, now_and_then_huge, every=0.05, partition=0),
        Sender(parts, good, every=0.05, partition=1),
    ]
    try:
        site.wait_for_alert("SIStreamLossNotFinite", "parts")
        link = site.directory / "link"
        link.unlink()  # as where the directory's mount is lost
        site.wait_for_alert("SIStreamPredictorOld", "parts")
        link.symlink_to(parts.settings.directory)
        senders.pop().stop()
        site.wait_for_alert("SIStreamPartitionEmpty", "parts")
    finally:
        for sender in senders:
            sender.stop()
    time.sleep(10)  # no other alert follows, but for messages that wait for the partition
    assert site.fired("parts") - {"SIStreamLagRising"} == {
        *("SIStreamLossNotFinite", "SIStreamPredictorOld", "SIStreamPartitionEmpty")
    }


def test_a_task_that_is_not_measured_a_disk_that_is_full_and_a_predictor_that_is_locked_out(
    site: Site,
) -> None:
    full = site.models["full"]
    full.send(batch(0, task="a", role="holdout"), *[batch(n, task="a") for n in range(100)])
    full.send(Boundary("a-ends"))
    sender = Sender(full, lambda number: batch(number, world=1, task="b"), every=0.05)
    try:
        assert full.learner is not None
        with full_disk(full.learner):
            for what in ("SIStreamWritingFails", "SIStreamCheckpointOld"):
                site.wait_for_alert(what, "full")
        ages = 'max(si_stream_checkpoint_age_seconds{model="full"})'
        site.wait_for(lambda: (site.value(ages) or 99) < 5, "a checkpoint, now that there is room")
        alert = site.wait_for_alert("SIStreamHoldoutOld", "full")
        assert alert.labels["task"] == "a"
    finally:
        sender.stop()
    found = {"SIStreamWritingFails", "SIStreamCheckpointOld", "SIStreamHoldoutOld"}
    assert site.fired("full") == found
    (site.directory / TOKENS[0]).write_text("open barley")  # which the predictor is not given
    site.wait_for_alert("SIStreamSourceAway", "full")
    assert site.fired("full") == found | {"SIStreamSourceAway"}


def test_a_stream_that_changes_all_the_time_and_then_ends_though_it_should_not(site: Site) -> None:
    storm = site.models["storm"]
    sender = Sender(storm, lambda n: batch(n, world=n * BATCH // WORLD_SAMPLES), every=0.02)
    try:
        site.wait_for_alert("SIStreamAlarmStorm", "storm")
    finally:
        sender.stop()
    site.wait_for_alert("SIStreamNoSample", "storm")
    # Its last samples are in no checkpoint for as long as it is idle, and that is no fault.
    age = 'min_over_time(si_stream_checkpoint_age_seconds{model="storm"}[5s])'
    site.wait_for(lambda: (site.value(age) or 0) > 20, age)
    assert site.fired("storm") == {"SIStreamAlarmStorm", "SIStreamNoSample"}


def test_kafka_that_deletes_behind_a_slow_learner_and_more_requests_than_are_answered(
    site: Site,
) -> None:
    besieged, pace = site.models["besieged"], site.directory / "pace"
    pace.write_text("0.1")
    try:
        besieged.send(*[batch(n, task="a") for n in range(MESSAGES)])
        step = 'si_stream_step{model="besieged"}'
        site.wait_for(lambda: (site.value(step) or 0) > DELETED, step)
        besieged.broker.prune(besieged.settings.stream.name, 0, DELETED)  # as retention does
        site.wait_for_alert("SIStreamRetentionNear", "besieged")
        with besieged_by_clients(besieged):
            site.wait_for_alert("SIStreamPredictorOverloaded", "besieged")
    finally:
        pace.write_text("0")
    site.wait_for(lambda: not site.firing("SIStreamRetentionNear", "besieged"), "its end")
    assert site.fired("besieged") - {"SIStreamLagRising"} == {
        *("SIStreamRetentionNear", "SIStreamPredictorOverloaded")
    }
