"""The learner process on a real Kafka broker. Its weights are those of the bare loop, which has the
same messages in memory."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.processes import Child
from si_stream import events
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Broker
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.brokers.kafka.reader import KafkaReader
from si_stream.brokers.memory import MemoryBroker
from si_stream.loop import learn_stream
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.state import State
from simulators.options import ReplayOptions
from simulators.replay import replay
from simulators.scenarios import load_scenario
from tests.services.learner_process import (
    LIMIT_SECONDS,
    LOOK_SECONDS,
    bare,
    changed,
    finished,
    kill,
    metrics,
    on_kafka,
    position,
    saved,
    stop,
    wait_until,
    without_places,
)
from tests.streams import STREAM, Listener, dealt, enveloped, memory_broker, samples

MNIST: dict[str, Any] = {
    "input_shape": (28, 28),
    "outputs": 2,
    "batch_size": 100,  # other than a message's samples, so that batches and messages overlap
    "network": {"hidden": (64, 64)},
}


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.usefixtures("mnist_root")
def test_split_mnist_gives_the_same_bits_through_kafka_the_embedded_log_and_memory(
    partitions: int,
    kafka: KafkaBroker,
    kafka_url: str,
    topic: str,
    tmp_path: Path,
    started: list[Child],
) -> None:
    kafka.create_stream(topic, partitions)
    chosen = on_kafka(tmp_path / "on-kafka", topic, kafka_url, model=MNIST)
    started.append(through_kafka := Child("learner", settings=chosen))
    options = ReplayOptions(partitions=partitions, holdout_samples_per_task=200)
    scenario = load_scenario("split-mnist", task_count=2)

    def fill(broker: Broker) -> None:
        broker.create_stream(STREAM, partitions)
        replay(scenario, options, partial(broker.append, STREAM))

    url = f"embedded:{tmp_path}/broker.sqlite"
    embedded = changed(chosen, "stream", broker=url, name=STREAM)
    embedded = embedded.model_copy(update={"directory": tmp_path / "embedded"})
    with EmbeddedBroker(tmp_path / "broker.sqlite") as log:
        fill(log)
    started.append(through_a_file := Child("learner", settings=embedded))
    simulate(
        *("split-mnist", "--broker", kafka_url, "--stream", topic, "--task-count", "2"),
        *("--partitions", str(partitions), "--holdout-samples-per-task", "200"),
    )
    fill(memory := MemoryBroker())
    expected = bare(memory, chosen)
    assert finished(through_kafka, chosen) == expected
    assert finished(through_a_file, embedded) == expected


def simulate(*arguments: str) -> None:
    command = [sys.executable, "-P", "-m", "services", "simulate", *arguments]
    subprocess.run(command, check=True, timeout=LIMIT_SECONDS)


def test_after_a_kill_nothing_before_the_checkpoints_position_is_read_again(
    kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path, started: list[Child]
) -> None:
    first: list[Message] = [samples(300, 300 * n, task="a") for n in range(40)]
    rest: list[Message] = [Boundary("1"), *(samples(300, 300 * n) for n in range(40, 50)), End("2")]
    partitions = dealt([*first, *rest], "012")
    already = dealt(first, "012")
    kafka.create_stream(topic, len(partitions))
    for number, held in enumerate(already):
        kafka.append(topic, number, enveloped(held))
    chosen = on_kafka(tmp_path, topic, kafka_url, checkpoints={"interval_seconds": 0.05})
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, "si_stream_step", reaches=500)
    kill(child)
    places = position(chosen)
    for number, (offset, _) in places.items():
        kafka.prune(topic, number, below_offset=offset)
        assert kafka.watermarks(topic, number).low == offset > 0
        kafka.append(topic, number, enveloped(partitions[number][len(already[number]) :]))
    # Whoever asks for what lies before is refused now, and a sample left out gives other weights.
    started.append(child := Child("learner", settings=chosen))
    assert finished(child, chosen) == bare(memory_broker(*partitions), chosen)


class Busy(Listener):
    """At each boundary it takes so long that messages arrive meanwhile, and are read ahead."""

    def __init__(self, broker: KafkaBroker, topic: str, reader: KafkaReader) -> None:
        super().__init__()
        self.kafka, self.topic, self.reader = broker, topic, reader
        self.read_ahead: list[str] = []

    def emit(self, event: events.Event) -> None:
        super().emit(event)
        if isinstance(event, events.Evaluated | events.Consolidated):
            self.stay(type(event).__name__)

    def checkpoint(self, state: State) -> None:
        super().checkpoint(state)
        self.stay("checkpoint")

    def stay(self, where: str) -> None:
        [offset] = self.kafka.append(self.topic, 0, enveloped([samples(3, len(self.read_ahead))]))
        deadline = time.monotonic() + LIMIT_SECONDS
        while self.reader._partitions[0].behind <= offset:
            assert time.monotonic() < deadline, f"nothing was read during {where}"
            time.sleep(LOOK_SECONDS)
        self.read_ahead.append(where)


def test_reading_goes_on_through_evaluation_consolidation_and_checkpoint(
    kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    held: list[Message] = [samples(9, 900, task="a", role="holdout"), samples(20, task="a")]
    kafka.create_stream(topic)
    kafka.append(topic, 0, enveloped([*held, End("1")]))
    state = State(on_kafka(tmp_path, topic, kafka_url), kafka.stream_id(topic))
    with kafka.reader(topic, {}) as reader:
        assert isinstance(reader, KafkaReader)
        host = Busy(kafka, topic, reader)
        learn_stream(reader, state, host, until_end=True)
    assert host.read_ahead == ["Evaluated", "Consolidated", "checkpoint"]


def test_the_markers_of_transactions_are_stepped_over(
    kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path, started: list[Child]
) -> None:
    from kafka import KafkaProducer

    parts: list[list[Message]] = [
        [samples(5, 0), samples(7, 5)],
        [samples(30, 12), Boundary("1"), samples(9, 42)],
        [samples(4, 51), End("2")],
    ]
    kafka.create_stream(topic)
    with KafkaProducer(
        bootstrap_servers=kafka_url.removeprefix("kafka://"),
        transactional_id=topic,
        metrics_enabled=False,
    ) as producer:
        producer.init_transactions()

        def send(messages: list[Message], *, commit: bool) -> None:
            producer.begin_transaction()
            for one in enveloped(messages):
                headers = [(name, text.encode()) for name, text in one.headers.items()]
                producer.send(topic, value=one.value, headers=headers, partition=0)
            producer.flush()
            (producer.commit_transaction if commit else producer.abort_transaction)()

        send(parts[0], commit=True)
        send([samples(6, 50_000), Boundary("aborted")], commit=False)
        kafka.append(topic, 0, enveloped(parts[1]))
        send(parts[2], commit=True)
    assert kafka.watermarks(topic, 0).high == 2 + 2 + 3 + 2 + 3  # markers: one a transaction
    chosen = on_kafka(tmp_path, topic, kafka_url, exit_at_end=False)
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, "si_stream_consolidations_total", reaches=2)
    while metrics(child).get('si_stream_lag_messages{partition="0"}') != 0:
        time.sleep(LOOK_SECONDS)
    stop(child)
    expected = bare(memory_broker([one for part in parts for one in part]), chosen)
    assert without_places(saved(chosen)) == without_places(expected)
