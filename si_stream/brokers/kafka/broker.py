"""A Kafka broker: each stream is a topic of the same name.

Invariant: every record lies in the partition that was asked for, in the order of the appends, and
what `append` has returned is on all in-sync replicas. Offsets have gaps: Kafka gives some to the
markers of transactions, which are never read.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    AuthorizationError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    NoError,
    RecordListTooLargeError,
    RetriableError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.consumer import OffsetSpec
from kafka.structs import OffsetAndMetadata, TopicPartition

from si_stream.brokers.checks import (
    check_partition,
    check_partition_count,
    check_partition_total,
    stream_not_found,
)
from si_stream.brokers.interface import Broker, Envelope, Reader, Watermarks
from si_stream.brokers.kafka.client import closing_on_failure, make_client, stream_id_of
from si_stream.brokers.kafka.producer import BATCH_BYTES, Producer
from si_stream.brokers.kafka.reach import NotThere, fault, wait_for_broker
from si_stream.brokers.kafka.reader import KafkaReader
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError, MessageTooLarge, StreamNotFound

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_RETRY_SECONDS = 0.1
# The largest message that a learner takes unless told otherwise, and room for Kafka's own parts.
_MAX_MESSAGE_BYTES = 10 * 2**20 + 2**16


class _Topic(NamedTuple):
    stream_id: str
    partitions: int


class _Target(NamedTuple):
    """What an append must know of a topic; the size is None where one may not ask for it."""

    partitions: int
    max_message_bytes: int | None


class KafkaBroker(Broker):
    """The cluster at ``addresses``, ``host:port[,host:port…]``.

    Raises:
        BrokerError: nobody answers there within the time limit, or the answer is no Kafka
            broker's, untrusted, or refuses the login; or the C crc32c is not installed.
        SettingsError: a file of the options cannot be used.
    """

    keeps_all = False

    def __init__(self, addresses: str, options: KafkaOptions | None = None) -> None:
        self._options = options or KafkaOptions()
        self._client = make_client(addresses, self._options)
        wait_for_broker(self._client)
        # A question is asked again, so that one lost on a dead connection is not waited for long.
        timeout_ms = round(1000 * self._options.connect_timeout_seconds)
        self._admin, _ = self._connect(KafkaAdminClient, {"request_timeout_ms": timeout_ms})
        self._producer = Producer(self._connect, self._options)
        self._targets: dict[str, _Target] = {}
        self._closed = False

    def create_stream(
        self, stream: str, partitions: int | None = None, *, max_message_bytes: int | None = None
    ) -> None:
        check_partition_count(stream, partitions, None)
        if (existing := self._find(stream)) is None:
            self._create(stream, partitions or 1, max_message_bytes or _MAX_MESSAGE_BYTES)
            existing = self._topic(stream)
        check_partition_count(stream, partitions, existing.partitions)

    def stream_id(self, stream: str) -> str:
        return self._topic(stream).stream_id

    def partitions(self, stream: str) -> int:
        return self._topic(stream).partitions

    def add_partitions(self, stream: str, total: int) -> None:
        existing = self._topic(stream).partitions
        check_partition_total(stream, total, existing)
        if total > existing:
            self._ask(lambda: self._admin.create_partitions({stream: total}))
            self._wait_for_partitions(stream, total)

    def max_message_bytes(self, stream: str) -> int | None:
        resource = ConfigResource(ConfigResourceType.TOPIC, stream)
        described = self._ask(lambda: self._admin.describe_configs([resource], config_filter="all"))
        limit = described["topic"][stream].get("max.message.bytes")
        return None if limit is None else int(limit["value"])

    def append(self, stream: str, partition: int, envelopes: Sequence[Envelope]) -> list[int]:
        """Append in order and return the offsets, once all in-sync replicas have the records.

        Up to 1 MB of them (or what the topic takes at once, if that is less) are appended all or
        none. More go out one such part after another: a failure leaves a beginning of them. Where
        the broker went away before it answered nobody can tell whether it appended the last part.
        Appending them again doubles those that are there; their ``ce_id`` is the same.

        Raises:
            MessageTooLarge: a record is larger than the topic takes; nothing is appended where its
                value alone is, else perhaps those before it.
            BrokerError: the broker did not confirm all in time.
        """
        records = [
            (envelope.value, [(key, text.encode()) for key, text in envelope.headers.items()])
            for envelope in envelopes
        ]
        limit = self._target(stream, partition).max_message_bytes
        largest = max((len(value) for value, _ in records), default=0)
        if limit is not None and largest > limit:
            self._targets.pop(stream, None)  # it may have been raised meanwhile
            limit = self._target(stream, partition).max_message_bytes
        if limit is not None and largest > limit:
            raise _too_large(stream, f"{largest:,}", limit)
        try:
            batch_bytes = min(BATCH_BYTES, limit or BATCH_BYTES)
            return self._producer.append(stream, partition, records, batch_bytes)
        except KafkaError as error:
            self._targets.pop(stream, None)
            if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
                limit = self._target(stream, partition).max_message_bytes
                raise _too_large(stream, f"{largest:,} and its headers", limit) from error
            reason = self._outage() if isinstance(error, RetriableError) else None
            if reason is None:
                self._topic(stream)  # it may be gone
            raise BrokerError(
                f"{self._client} did not confirm {len(records)} messages for stream {stream!r}, "
                f"partition {partition}, of which some may be in it: {reason or error}"
            ) from error

    def prune(self, stream: str, partition: int, below_offset: int) -> None:
        low, high = self.watermarks(stream, partition)
        if (target := min(below_offset, high)) > low:
            self._ask(
                lambda: self._admin.delete_records({TopicPartition(stream, partition): target})
            )

    def reader(self, stream: str, offsets: Mapping[int, int]) -> Reader:
        topic = self._topic(stream)
        for partition in offsets:
            check_partition(stream, partition, topic.partitions)
        next_offsets = [offsets.get(partition, 0) for partition in range(topic.partitions)]
        return KafkaReader(
            *(self, self._identify, self._connect, stream, topic.stream_id, next_offsets)
        )

    def watermarks(self, stream: str, partition: int) -> Watermarks:
        check_partition(stream, partition, self._topic(stream).partitions)
        place = TopicPartition(stream, partition)

        def offset(end: OffsetSpec) -> int:
            found = self._ask(lambda: self._admin.list_partition_offsets({place: end}))
            return int(found[place].offset)

        return Watermarks(offset(OffsetSpec.EARLIEST), offset(OffsetSpec.LATEST))

    def newest_seconds(self, stream: str, partition: int) -> float | None:
        """The highest Unix time that a record of the partition has: where the topic stamps by its
        own clock, as those made here do, when the last one was appended. None where it is empty.
        """
        check_partition(stream, partition, self._topic(stream).partitions)
        place = TopicPartition(stream, partition)
        found = self._ask(
            lambda: self._admin.list_partition_offsets({place: OffsetSpec.MAX_TIMESTAMP})
        )
        milliseconds = int(found[place].timestamp)
        return milliseconds / 1000 if milliseconds >= 0 else None

    def commit_hint(self, stream: str, offsets: Mapping[int, int], checkpoint: str) -> None:
        committed = {
            TopicPartition(stream, partition): OffsetAndMetadata(offset, checkpoint, -1)
            for partition, offset in offsets.items()
        }

        def commit() -> None:
            answers = self._admin.alter_group_offsets(self._options.group, committed)
            for refusal in set(answers.values()) - {NoError}:
                raise refusal(f"group {self._options.group!r}")

        try:
            self._ask(commit)
        except BrokerError as error:
            logger.warning(
                "tools for lag are not told of checkpoint %s, which harms nothing else: %s",
                *(checkpoint, error),
            )

    def close(self) -> None:
        self._closed = True
        self._producer.close()
        self._admin.close()

    def _connect(self, make: Callable[..., Any], settings: dict[str, Any]) -> tuple[Any, Any]:
        """A client of kafka-python, and its view of the cluster's metadata."""
        try:
            return closing_on_failure(make, self._client.settings() | settings)
        except KafkaError as error:
            raise self._unanswered(error) from error

    def _identify(self, stream: str) -> str:
        """The stream's id; asked once, for a reader that comes again.

        Raises:
            NotThere: no broker answers now, whatever the reason.
            StreamNotFound: a broker answers that there is no such stream.
        """
        try:
            return self._topic(stream, patience_seconds=0).stream_id
        except StreamNotFound:
            raise
        except BrokerError as error:
            raise NotThere(str(error)) from error

    def _ask(self, question: Callable[[], Answer], patience_seconds: float | None = None) -> Answer:
        """The answer of the admin client, which is asked again while a broker is away."""
        if patience_seconds is None:
            patience_seconds = self._options.connect_timeout_seconds
        deadline = time.monotonic() + patience_seconds
        while True:
            if self._closed:
                raise BrokerError(f"{self._client} is closed")
            try:
                return question()
            except RetriableError as error:
                if isinstance(error, UnknownTopicOrPartitionError):
                    raise BrokerError(f"{self._client}: {error}") from error
                if time.monotonic() >= deadline:
                    raise self._unanswered(error) from error
            except AuthorizationError as error:
                raise BrokerError(
                    f"{self._client} does not allow that to user {self._options.username!r} "
                    f"({error}); give it the right, as kafka-acls does"
                ) from error
            except KafkaError as error:
                raise BrokerError(f"{self._client}: {error}") from error
            time.sleep(_RETRY_SECONDS)

    def _outage(self) -> BrokerError | None:
        return fault(self._client, timeout_seconds=2.0)

    def _unanswered(self, error: KafkaError) -> BrokerError:
        return self._outage() or NotThere(
            f"{self._client} answers, but not to what was asked ({error}); look at its logs"
        )

    def _find(self, stream: str, patience_seconds: float | None = None) -> _Topic | None:
        (topic,) = self._ask(lambda: self._admin.describe_topics([stream]), patience_seconds)
        error = for_code(topic["error_code"])
        if error in (UnknownTopicOrPartitionError, InvalidTopicError):
            return None
        if error is not NoError:
            raise BrokerError(f"{self._client}: stream {stream!r}: {error.__name__}")
        if topic["topic_id"] is None:
            raise BrokerError(f"{self._client} gives topics no ids; use Kafka 2.8 or newer")
        return _Topic(stream_id_of(uuid.UUID(topic["topic_id"])), len(topic["partitions"]))

    def _topic(self, stream: str, patience_seconds: float | None = None) -> _Topic:
        topic = self._find(stream, patience_seconds)
        if topic is None:
            raise stream_not_found(stream)
        return topic

    def _create(self, stream: str, partitions: int, max_message_bytes: int) -> None:
        configs = {
            "cleanup.policy": "delete",
            "retention.ms": str(round(self._options.retention_hours * 3_600_000)),
            "max.message.bytes": str(max_message_bytes),
            # A sender's clock decides neither how old a record is nor when it is deleted.
            "message.timestamp.type": "LogAppendTime",
        }
        if self._options.min_insync_replicas is not None:
            configs["min.insync.replicas"] = str(self._options.min_insync_replicas)
        wanted = {
            "num_partitions": partitions,
            "replication_factor": self._options.replication_factor or -1,
            "configs": configs,
        }
        answer = self._ask(lambda: self._admin.create_topics({stream: wanted}, raise_errors=False))
        (topic,) = answer["topics"]
        error = for_code(topic["error_code"])
        if error not in (NoError, TopicAlreadyExistsError):
            reason = topic["error_message"] or error.__name__
            raise BrokerError(f"{self._client} cannot create stream {stream!r}: {reason}")
        self._ask(lambda: self._admin.wait_for_topics([stream]))

    def _wait_for_partitions(self, stream: str, total: int) -> None:
        """Until the brokers know of them, so that they can be written to and read."""
        deadline = time.monotonic() + self._options.connect_timeout_seconds
        while self._topic(stream).partitions < total:
            if time.monotonic() >= deadline:
                raise BrokerError(
                    f"{self._client} has not made {total} partitions of stream {stream!r} in "
                    f"{self._options.connect_timeout_seconds:g} s; look at its logs"
                )
            time.sleep(_RETRY_SECONDS)
        self._ask(lambda: self._admin.wait_for_topics([stream]))

    def _target(self, stream: str, partition: int) -> _Target:
        target = self._targets.get(stream)
        if target is None or partition >= target.partitions:
            target = _Target(self._topic(stream).partitions, self.max_message_bytes(stream))
            self._targets[stream] = target
        check_partition(stream, partition, target.partitions)
        return target


def _too_large(stream: str, size: str, limit: int | None) -> MessageTooLarge:
    takes = "less" if limit is None else f"{limit:,}"
    return MessageTooLarge(
        f"a message of {size} bytes is too large for stream {stream!r}, which takes {takes}; send "
        "fewer samples in a message, or raise the topic's max.message.bytes"
    )
