"""Appends to Kafka's partitions, in order and in batches of known content.

Invariant: a batch is appended whole or not at all, behind the one before it; one call's records are
not mixed with another's; and a retry after a lost answer doubles none (idempotent producer).

kafka-python's producer is thrown away after any failure: it refuses everything from then on, and
what it had not sent might be appended later, when the caller has long been told that it failed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from si_stream.brokers.kafka.client import Connect
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError

Message = tuple[bytes, list[tuple[str, bytes]]]

# What every topic takes at once unless it is set to less; see `batches_of`.
BATCH_BYTES = 1_000_000
# A broker closes the connection on a larger request (its socket.request.max.bytes), unanswered.
_MAX_REQUEST_BYTES = 100 * 2**20 - 2**16
# A batch is sent when it is complete; until then its first message waits for the last.
_GATHER_SECONDS = 1.0
_CLOSE_SECONDS = 5.0


class Producer:
    """Connects at the first append, since most learners never append.

    Args:
        connect: makes a client of kafka-python, and returns it with its cluster's metadata.
    """

    def __init__(self, connect: Connect, options: KafkaOptions) -> None:
        self._connect = connect
        self._connect_seconds = options.connect_timeout_seconds
        self._delivery_seconds = options.delivery_timeout_seconds
        self._settings = {
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": None if options.compression == "none" else options.compression,
            "batch_size": 2 * BATCH_BYTES,  # batches end where `batches_of` says
            "linger_ms": round(1000 * _GATHER_SECONDS),
            "max_request_size": _MAX_REQUEST_BYTES,
            "delivery_timeout_ms": round(1000 * options.delivery_timeout_seconds),
            "max_block_ms": round(1000 * options.connect_timeout_seconds),
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        self._lock = threading.Lock()
        self._producer: Any = None
        self._cluster: Any = None
        self._closed = False

    def append(
        self, topic: str, partition: int, messages: Sequence[Message], batch_bytes: int
    ) -> list[int]:
        """The offsets of the messages, once they are acknowledged.

        Raises:
            KafkaError: one batch was not; those before it were, those behind it were not sent.
        """
        with self._lock:
            if self._closed:
                raise BrokerError("the Kafka broker is closed")
            if self._producer is None:
                self._producer, self._cluster = self._connect(KafkaProducer, self._settings)
            try:
                self._learn_of(topic, partition)
                offsets: list[int] = []
                for batch in batches_of(messages, batch_bytes):
                    offsets += self._send(topic, partition, batch)
                return offsets
            except BaseException:
                self._abandon()
                raise

    def close(self) -> None:
        """Wait a little for an append that is under way, and then make it fail."""
        self._closed = True
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            try:
                if self._producer is not None:
                    self._abandon()
            finally:
                self._lock.release()
        elif (producer := self._producer) is not None:
            producer._sender.force_close()

    def _send(self, topic: str, partition: int, batch: Sequence[Message]) -> list[int]:
        sent = [
            self._producer.send(topic, value=value, headers=headers, partition=partition)
            for value, headers in batch
        ]
        # The producer gives up by itself; this is only not to wait for ever.
        self._producer.flush(2 * self._delivery_seconds)
        return [future.get(0).offset for future in sent]

    def _learn_of(self, topic: str, partition: int) -> None:
        """Have the producer know the partition, which may be younger than its metadata."""
        deadline = time.monotonic() + self._connect_seconds
        while partition not in self._producer.partitions_for(topic):
            if time.monotonic() >= deadline:
                raise KafkaTimeoutError(f"partition {partition} of {topic} does not show up")
            done = threading.Event()
            self._cluster.request_update().add_both(lambda _, done=done: done.set())
            done.wait(1.0)

    def _abandon(self) -> None:
        """End the producer, with nothing sent any more."""
        producer, self._producer = self._producer, None
        # Its own `close` waits for what is not sent, and leaves the thread running if that fails.
        producer._sender.force_close()
        producer._sender.join(_CLOSE_SECONDS)
        with contextlib.suppress(KafkaError):
            producer.close(0)


def batches_of(messages: Sequence[Message], batch_bytes: int) -> Iterator[Sequence[Message]]:
    """The messages in their order, as many at once as one batch of Kafka holds, or one.

    >>> small, large = (b"", []), (bytes(100), [])
    >>> [len(batch) for batch in batches_of([small, small, large, small], 150)]
    [2, 1, 1]
    """
    begin, size_bytes = 0, 0
    for number, (value, headers) in enumerate(messages):
        message_bytes = 32 + len(value) + sum(10 + len(k) * 4 + len(v) for k, v in headers)
        if size_bytes and size_bytes + message_bytes > batch_bytes - 64:
            yield messages[begin:number]
            begin, size_bytes = number, 0
        size_bytes += message_bytes
    if messages[begin:]:
        yield messages[begin:]
