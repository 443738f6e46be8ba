from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from si_stream.brokers.interface import Envelope
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.brokers.kafka.client import stream_id_of
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError, MessageTooLarge, StreamNotFound
from tests.brokers.records import envelope, envelopes, number_of, read_all


def settings_of(admin: Any, topic: str) -> dict[str, str]:
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    return {name: setting["value"] for name, setting in described.items()}


def test_a_stream_is_a_topic_whose_records_are_kept_by_the_clock_of_the_broker(
    kafka_url: str, stream: str, admin: Any
) -> None:
    options = KafkaOptions(retention_hours=36, replication_factor=1, min_insync_replicas=1)
    with KafkaBroker(kafka_url.removeprefix("kafka://"), options) as broker:
        broker.create_stream(stream, partitions=3)
        broker.create_stream(f"{stream}-large", max_message_bytes=20_000_000)
    (described,) = admin.describe_topics([stream])
    assert len(described["partitions"]) == 3
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": str(36 * 3600 * 1000),
        "max.message.bytes": str(10 * 2**20 + 2**16),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "1",
    }
    assert settings_of(admin, stream).items() >= wanted.items()
    assert settings_of(admin, f"{stream}-large")["max.message.bytes"] == "20000000"


def test_what_the_cluster_cannot_give_is_told_in_its_own_words(kafka_url: str, stream: str) -> None:
    options = KafkaOptions(replication_factor=99)
    with (
        KafkaBroker(kafka_url.removeprefix("kafka://"), options) as broker,
        pytest.raises(BrokerError, match=f"cannot create stream '{stream}': .*99"),
    ):
        broker.create_stream(stream)
    with (
        KafkaBroker(kafka_url.removeprefix("kafka://")) as broker,
        pytest.raises(BrokerError, match=r"cannot create stream 'a b': .*invalid"),
    ):
        broker.create_stream("a b")


def test_the_id_of_a_stream_is_its_topics_and_another_when_made_anew(
    broker: KafkaBroker, stream: str, admin: Any
) -> None:
    import uuid

    broker.create_stream(stream)
    before = broker.stream_id(stream)
    (described,) = admin.describe_topics([stream])
    assert before == stream_id_of(uuid.UUID(described["topic_id"]))
    broker.append(stream, 0, envelopes(1))
    admin.delete_topics([stream])
    wait_until_gone(broker, stream)
    broker.create_stream(stream)
    assert broker.stream_id(stream) != before
    assert broker.append(stream, 0, envelopes(2)) == [0]


def wait_until_gone(broker: KafkaBroker, stream: str) -> None:
    while True:
        try:
            broker.partitions(stream)
        except StreamNotFound:
            return
        time.sleep(0.05)


def test_partitions_that_are_added_show_up_and_take_records(
    broker: KafkaBroker, stream: str, admin: Any
) -> None:
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1))
    admin.create_partitions({stream: 3})
    while broker.partitions(stream) != 3:
        time.sleep(0.05)
    assert broker.append(stream, 2, envelopes(2)) == [0]
    assert [(record.partition, number_of(record)) for record in read_all(broker, stream)] == [
        (0, 1),
        (2, 2),
    ]


def test_an_append_of_many_batches_is_in_order(broker: KafkaBroker, stream: str) -> None:
    broker.create_stream(stream)
    sent = [envelope(number, 100_000) for number in range(60)]
    assert broker.append(stream, 0, sent) == list(range(60))
    assert [number_of(record) for record in read_all(broker, stream)] == list(range(60))


def test_an_append_larger_than_the_topic_takes_at_once_is_sent_in_parts(
    broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream, max_message_bytes=150_000)
    sent = [envelope(number, 100_000) for number in range(9)]
    assert broker.append(stream, 0, sent) == list(range(9))
    assert [number_of(record) for record in read_all(broker, stream)] == list(range(9))


def test_a_message_that_is_too_large_names_the_limit_and_nothing_is_appended(
    broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream, max_message_bytes=5000)
    message = (
        r"6,000 bytes is too large for .* takes 5,000; .*raise the topic's max\.message\.bytes"
    )
    with pytest.raises(MessageTooLarge, match=message):
        broker.append(stream, 0, [envelope(1), envelope(2, 6000)])
    assert broker.append(stream, 0, envelopes(3)) == [0]


def test_a_limit_that_is_raised_is_noticed_by_a_broker_that_is_open(
    broker: KafkaBroker, stream: str, admin: Any
) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    broker.create_stream(stream, max_message_bytes=5000)
    with pytest.raises(MessageTooLarge):
        broker.append(stream, 0, [envelope(1, 6000)])
    larger = {"max.message.bytes": "8000"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stream, larger)])
    while broker.max_message_bytes(stream) != 8000:
        time.sleep(0.05)
    assert broker.append(stream, 0, [envelope(1, 6000)]) == [0]


def test_a_message_whose_headers_make_it_too_large_names_the_limit(
    broker: KafkaBroker, stream: str
) -> None:
    broker.create_stream(stream, max_message_bytes=5000)
    with pytest.raises(MessageTooLarge, match=r"4,000 and its headers bytes is too large .* 5,000"):
        broker.append(stream, 0, [Envelope({"long": "x" * 2000}, bytes(4000))])
    assert broker.append(stream, 0, envelopes(3)) == [0]


def test_compressed_messages_come_back_as_they_were(
    kafka_url: str, broker: KafkaBroker, stream: str
) -> None:
    options = KafkaOptions(compression="gzip")
    with KafkaBroker(kafka_url.removeprefix("kafka://"), options) as sender:
        sender.create_stream(stream)
        sender.append(stream, 0, [envelope(1, 1_000_000), envelope(2, 10)])
    assert [number_of(record) for record in read_all(broker, stream)] == [1, 2]


def test_lag_tools_see_the_offset_and_the_checkpoint(
    kafka_url: str, stream: str, admin: Any
) -> None:
    from kafka import TopicPartition

    with KafkaBroker(kafka_url.removeprefix("kafka://"), KafkaOptions(group=stream)) as broker:
        broker.create_stream(stream, partitions=2)
        broker.commit_hint(stream, {0: 7, 1: 3}, "epoch-2/step-40")
    committed = admin.list_group_offsets({stream: None})[stream]
    assert {
        place.partition: (committed[place].offset, committed[place].metadata)
        for place in (TopicPartition(stream, 0), TopicPartition(stream, 1))
    } == {0: (7, "epoch-2/step-40"), 1: (3, "epoch-2/step-40")}


def test_a_hint_that_cannot_be_given_is_only_logged(
    kafka_url: str, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = KafkaOptions(connect_timeout_seconds=0.5)
    with (
        KafkaBroker(kafka_url.removeprefix("kafka://"), options) as broker,
        caplog.at_level(logging.WARNING),
    ):
        broker.commit_hint(f"no-{stream}", {0: 7}, "epoch-2/step-40")
    (record,) = caplog.records
    assert "lag are not told of checkpoint epoch-2/step-40, which harms nothing" in record.message


def test_a_closed_broker_raises_a_broker_error(kafka_url: str, stream: str) -> None:
    broker = KafkaBroker(kafka_url.removeprefix("kafka://"))
    broker.create_stream(stream)
    broker.append(stream, 0, envelopes(1))
    broker.close()
    broker.close()
    with pytest.raises(BrokerError, match="closed"):
        broker.partitions(stream)
    with pytest.raises(BrokerError, match="closed"):
        broker.append(stream, 0, envelopes(2))


def test_no_thread_outlives_its_broker_and_reader(kafka_url: str, stream: str) -> None:
    before = set(threading.enumerate())
    with KafkaBroker(kafka_url.removeprefix("kafka://")) as broker:
        broker.create_stream(stream)
        broker.append(stream, 0, envelopes(1))
        read_all(broker, stream)
    for thread in set(threading.enumerate()) - before:
        thread.join()
