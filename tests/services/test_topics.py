"""`si-stream topics`: makes, shows and widens streams, in a log file and on a real Kafka broker."""

from __future__ import annotations

import uuid

import pytest

from services.command import main
from si_stream.brokers import open_broker
from si_stream.dead_letters import ROOM_FOR_HEADERS_BYTES, DeadLetters
from tests.streams import enveloped, samples

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def stream() -> str:
    return f"topics-{uuid.uuid4().hex}"


def topics(command: str, url: str, stream: str, *more: str) -> int:
    return main(["topics", command, "--broker", url, "--stream", stream, *more])


def test_the_stream_and_that_of_its_dead_letters_are_made_once(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topics("create", url, stream, "--partitions", "3") == 0
    first = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in first] == [
        f"created: stream '{stream}'",
        f"created: stream '{stream}.dead-letter'",
    ]
    with open_broker(url) as broker:
        assert broker.partitions(stream) == 3
        assert broker.partitions(f"{stream}.dead-letter") == 1
        stream_id = broker.stream_id(stream)

    for again in (("--partitions", "3"), ()):
        assert topics("create", url, stream, *again) == 0
        second = capsys.readouterr().out.splitlines()
        assert second == [line.replace("created", "exists already") for line in first]
    with open_broker(url) as broker:
        assert broker.stream_id(stream) == stream_id


def test_a_missing_stream_of_dead_letters_is_made_beside_a_stream_that_is_there(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_broker(url) as broker:
        broker.create_stream(stream, 2)
    assert topics("create", url, stream) == 0
    told = capsys.readouterr().out
    assert f"exists already: stream '{stream}', 2 partitions" in told
    assert f"created: stream '{stream}.dead-letter', 1 partition" in told


def test_another_number_of_partitions_is_refused_with_the_way_to_more(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topics("create", url, stream, "--partitions", "2") == 0
    capsys.readouterr()
    assert topics("create", url, stream, "--partitions", "3") == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "exists with 2 partitions, not 3" in captured.err
    assert "topics add-partitions" in captured.err


def test_partitions_are_added_and_none_taken_away(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topics("create", url, stream) == 0
    capsys.readouterr()
    assert topics("add-partitions", url, stream, "3") == 0
    told = capsys.readouterr().out
    assert f"stream '{stream}' has 3 partitions now, 1 before" in told
    assert "at the next boundary" in told
    assert topics("add-partitions", url, stream, "3") == 0
    assert capsys.readouterr().out == f"stream '{stream}' has 3 partitions already\n"
    assert topics("add-partitions", url, stream, "2") == 4
    assert "none can be taken away" in capsys.readouterr().err
    with open_broker(url) as broker:
        assert broker.partitions(stream) == 3


def test_the_bounds_of_each_partition_are_shown(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topics("create", url, stream, "--partitions", "2") == 0
    with open_broker(url) as broker:
        broker.append(stream, 1, enveloped([samples(1), samples(1)]))
        broker.prune(stream, 1, 1)
        stream_id = broker.stream_id(stream)
    capsys.readouterr()
    assert topics("show", url, stream) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"at {url}\n")
    assert f"stream '{stream}', id {stream_id}" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert [row for row in rows if row and row[0].isdecimal()] == [
        ["0", "0", "0"],
        ["1", "1", "2"],
        ["0", "0", "0"],  # of the dead letters
    ]


def test_a_stream_that_is_missing_is_one_clear_line(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_broker(url).close()
    assert topics("show", url, stream) == 4
    assert f"there is no stream '{stream}'" in capsys.readouterr().err
    assert topics("add-partitions", url, stream, "2") == 4
    assert f"there is no stream '{stream}'" in capsys.readouterr().err


def test_a_stream_without_dead_letters_is_shown_as_that(
    url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_broker(url) as broker:
        broker.create_stream(stream)
    assert topics("show", url, stream) == 0
    assert f"there is no stream '{stream}.dead-letter' yet" in capsys.readouterr().out


def test_topics_of_kafka_are_made_as_the_settings_say(
    kafka_url: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ("--set", "stream.max_message_bytes=50000", "--set", "kafka.retention_hours=2")
    assert topics("create", kafka_url, stream, *sets) == 0
    made, letters_made = capsys.readouterr().out.splitlines()
    assert made.endswith("messages of up to 50,000 bytes")
    assert letters_made.endswith(f"messages of up to {50_000 + ROOM_FOR_HEADERS_BYTES:,} bytes")
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource, ConfigResourceType

    with KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://")) as admin:
        for topic in (stream, f"{stream}.dead-letter"):
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            configs = admin.describe_configs([resource], config_filter="all")["topic"][topic]
            assert configs["retention.ms"]["value"] == str(2 * 3_600_000)
            assert configs["message.timestamp.type"]["value"] == "LogAppendTime"


def test_a_learner_takes_the_streams_that_were_made(kafka_url: str, stream: str) -> None:
    assert topics("create", kafka_url, stream, "--partitions", "2") == 0
    with open_broker(kafka_url) as broker:
        letters = DeadLetters(broker, stream, 10 * 2**20)
        assert letters.flush(letters.seal()) == 0
