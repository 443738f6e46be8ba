"""Benchmarks of streams on a Kafka broker of this machine, which has its cores in common with us.

The broker is started once, outside of what is timed. Without Java there is none, and
`deploy.local_process.NotAvailable` says so. A megabyte is a million bytes of payload.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from benchmarks.rounds import Effort, Figure, alternate, figure, ratio
from benchmarks.service import new_broker
from benchmarks.streams import fill, samples_per_second
from deploy.kafka.local_broker import LocalBroker
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker, Envelope
from simulators.replay import BATCH_BYTES

MESSAGE_BYTES = 100_000  # some 128 images of 28 × 28 bytes
HEADERS = {
    "ce_id": "0123456789abcdef",
    "ce_type": "samples",
    "ce_source": "/benchmarks",
    "ce_specversion": "1.0",
    "content-type": "application/vnd.apache.arrow.stream",
}
ROUND_MESSAGES = 1000


def kafka_stream_ratio(effort: Effort) -> Figure:
    """Samples a second through Kafka over in memory, 128 samples a message.

    The simulator has filled both before. A round is 180,000 samples: to connect and to leave takes
    0.3 s, which a learner does once in its life. The baseline is in samples a second.
    """
    with (
        local_server() as server,
        new_broker(f"kafka://{server}") as kafka,
        new_broker("memory:") as memory,
    ):
        for broker in (kafka, memory):
            fill(broker, effort, epochs=15)
        rates = [partial(samples_per_second, broker) for broker in (kafka, memory)]
        return ratio(alternate(effort, 6, *rates))


def kafka_producer_mb_per_second(effort: Effort) -> Figure:
    """MB/s of messages appended, in the batches in which a replay sends them.

    The baseline is kafka-python's own producer, at its defaults but for `acks="all"`, which gets
    the same messages one after the other and is flushed once.
    """
    messages = _messages(effort)
    batch = BATCH_BYTES // MESSAGE_BYTES
    headers = [(name, text.encode()) for name, text in HEADERS.items()]
    with local_server() as server, open_broker(f"kafka://{server}") as broker:
        streams = _new_streams(broker)
        with closing(KafkaProducer(bootstrap_servers=server, acks="all")) as producer:

            def ours() -> float:
                stream = next(streams)
                started = perf_counter()
                for first in range(0, len(messages), batch):
                    broker.append(stream, 0, messages[first : first + batch])
                return _megabytes(messages) / (perf_counter() - started)

            def theirs() -> float:
                stream = next(streams)
                started = perf_counter()
                for message in messages:
                    producer.send(stream, message.value, headers=headers, partition=0)
                producer.flush()
                return _megabytes(messages) / (perf_counter() - started)

            pairs = alternate(effort, 10, ours, theirs)
    return figure([p.ours for p in pairs], "MB/s", [p.baseline for p in pairs])


def kafka_consumer_mb_per_second(effort: Effort) -> Figure:
    """MB/s of messages polled, from the making of a reader to the last message.

    The baseline is kafka-python's own consumer at its defaults, assigned to the partition.
    """
    messages = _messages(effort)
    with local_server() as server, open_broker(f"kafka://{server}") as broker:
        stream = next(_new_streams(broker))
        for first in range(0, len(messages), 40):
            broker.append(stream, 0, messages[first : first + 40])

        def ours() -> float:
            started = perf_counter()
            received = 0
            with broker.reader(stream, {}) as reader:
                while received < len(messages):
                    received += len(reader.poll(1.0))
                return _megabytes(messages) / (perf_counter() - started)

        def theirs() -> float:
            started = perf_counter()
            received = 0
            with closing(KafkaConsumer(bootstrap_servers=server)) as consumer:
                place = TopicPartition(stream, 0)
                consumer.assign([place])
                consumer.seek(place, 0)
                while received < len(messages):
                    received += sum(map(len, consumer.poll(1000).values()))
                return _megabytes(messages) / (perf_counter() - started)

        pairs = alternate(effort, 10, ours, theirs)
    return figure([p.ours for p in pairs], "MB/s", [p.baseline for p in pairs])


@contextmanager
def local_server() -> Iterator[str]:
    """The address of a broker that is there meanwhile.

    Raises:
        NotAvailable: it cannot be started.
    """
    with TemporaryDirectory() as directory:
        broker = LocalBroker(Path(directory))
        broker.start()
        try:
            yield broker.server
        finally:
            broker.stop()


def _new_streams(broker: Broker) -> Iterator[str]:
    for number in count():
        broker.create_stream(f"round-{number}")
        yield f"round-{number}"


def _messages(effort: Effort) -> list[Envelope]:
    value = secrets.token_bytes(MESSAGE_BYTES)
    return [Envelope(HEADERS, value)] * effort.amount(ROUND_MESSAGES)


def _megabytes(messages: list[Envelope]) -> float:
    return len(messages) * MESSAGE_BYTES / 1e6
