"""Brokers that are away, lack the stream, or do not hold what a checkpoint goes on from."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from services.doctor.broker import look
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope, Position
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.dead_letters import stream_of_letters
from si_stream.settings import Settings
from tests.services.doctor.models import checkpointed, named, state_of
from tests.streams import STREAM, settings

if TYPE_CHECKING:
    from deploy.kafka.local_broker import LocalBroker

ENVELOPE = Envelope({"ce_id": "e"}, b"value")
REACH, HELD, POSITION = "broker: reach", "broker: stream", "broker: position"


def embedded(directory: Path, **groups: Any) -> Settings:
    stream = {"broker": f"embedded:{directory}/broker.sqlite", **groups.pop("stream", {})}
    return settings(directory, stream=stream, **groups)


def on_kafka(directory: Path, url: str, topic: str, **stream: Any) -> Settings:
    return settings(directory, stream={"broker": url, "name": topic, **stream})


def files_in(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file()}


def test_a_log_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    chosen = embedded(tmp_path / "new")
    assert state_of(look(chosen), REACH)[0] == "ok"
    assert not (tmp_path / "new").exists()


def test_a_log_that_has_gone_is_told_of(tmp_path: Path) -> None:
    checkpointed(embedded(tmp_path))
    kind, text = state_of(look(embedded(tmp_path)), REACH)
    assert kind == "fail"
    assert "goes on from it → put it back" in text


def test_a_file_that_is_no_log_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "broker.sqlite").write_text("something else, and not short, for it is no database")
    kind, text = state_of(look(embedded(tmp_path)), REACH)
    assert kind == "fail"
    assert "is not a stream log" in text


@pytest.mark.parametrize("left", ["in order", "by a crash"])
def test_a_log_is_read_and_left_as_it_is(left: str, tmp_path: Path) -> None:
    chosen, log = embedded(tmp_path / "model"), tmp_path / "log" / "broker.sqlite"
    with EmbeddedBroker(log) as broker:
        broker.create_stream(STREAM, 2)
        broker.append(STREAM, 1, [ENVELOPE] * 3)
        if left == "in order":
            broker.close()
        shutil.copytree(log.parent, tmp_path / "model")
    before = files_in(tmp_path / "model")
    assert ("broker.sqlite-wal" in before) == (left == "by a crash")
    found = named(look(chosen))
    after = files_in(tmp_path / "model")
    for files in (before, after):
        files.pop("broker.sqlite-shm", None)  # where readers say that they read
    assert after == before
    assert found[HELD].seen == f"{STREAM!r}, offsets by partition 0: 0 to 0, 1: 0 to 3"
    assert found["broker: partitions"].state == "warn"
    assert "ever come to [0] of 2" in found["broker: partitions"].seen


def test_a_stream_that_is_not_there_is_told_of_as_gravely_as_it_is(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "broker.sqlite") as broker:
        broker.create_stream("another")
    kind, text = state_of(look(embedded(tmp_path)), HELD)
    assert kind == "warn"
    assert "`si-stream topics create`" in text
    checkpointed(embedded(tmp_path))
    assert state_of(look(embedded(tmp_path)), HELD)[0] == "fail"


def test_a_position_that_is_not_there_is_told_of_and_what_becomes_of_it(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, [ENVELOPE] * 10)
        stream_id = broker.stream_id(STREAM)
    chosen = embedded(tmp_path)
    checkpointed(chosen, stream_id, {0: Position(10)})
    assert state_of(look(chosen), POSITION)[0] == "ok"
    checkpointed(chosen, stream_id, {0: Position(11)})
    kind, text = state_of(look(chosen), POSITION)
    assert kind == "fail"
    assert "partition 0: offset 11 was never written, the next one will be 10 → --set" in text
    moving = embedded(tmp_path, stream={"out_of_range": "latest"})
    assert state_of(look(moving), POSITION)[0] == "warn"
    checkpointed(chosen, stream_id, {0: Position(5), 1: Position(0)})
    assert "partition 1 is not there any more" in state_of(look(chosen), POSITION)[1]
    checkpointed(chosen, "another", {0: Position(5)})
    kind, text = state_of(look(chosen), POSITION)
    assert kind == "fail"
    assert "with the id another, this one has " in text


@pytest.mark.parametrize("url", ["nowhere", "kafka://one", "embedded://a/b"])
def test_a_url_of_another_form_is_told_of(url: str) -> None:
    assert state_of(look(settings(stream={"broker": url})), REACH)[0] == "fail"


def test_a_broker_that_is_away_is_told_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    chosen = settings(
        tmp_path,
        stream={"broker": f"kafka://127.0.0.1:{port}"},
        kafka={"connect_timeout_seconds": 0.2},
    )
    kind, text = state_of(look(chosen), REACH)
    assert kind == "fail"
    assert "cannot be reached (Connection refused) → is the broker running" in text


def test_a_login_that_is_refused_is_told_of_without_the_password(
    local_kafka: LocalBroker, tmp_path: Path
) -> None:
    assert local_kafka.login is not None
    login: dict[str, Any] = {
        "security_protocol": "SASL_SSL",
        "ca_file": local_kafka.certificate,
        "username": local_kafka.login.user,
    }

    def told(password: str) -> tuple[str, str]:
        url = f"kafka://{local_kafka.secure_server}"
        kafka = {**login, "password": password}
        return state_of(look(settings(tmp_path, stream={"broker": url}, kafka=kafka)), REACH)

    kind, text = told(local_kafka.login.password)
    assert kind == "ok"
    assert "which lets user learner in by SASL_SSL" in text
    kind, text = told("not-the-right-one")
    assert kind == "fail"
    assert "refuses the user 'learner'" in text
    assert "check kafka.username and kafka.password" in text
    assert "not-the-right-one" not in text


def test_a_topic_is_held_against_what_the_learner_takes(
    kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    chosen = on_kafka(tmp_path, kafka_url, topic)
    assert state_of(look(chosen), HELD)[0] == "warn"
    kafka.create_stream(topic, max_message_bytes=1_000_000)
    found = named(look(chosen))
    assert found["broker: message size"].state == "warn"
    assert "the topic takes 1.0 MB, the learner 10.5 MB" in found["broker: message size"].seen
    assert found["broker: dead letters"].state == "ok"
    kafka.create_stream(stream_of_letters(topic), max_message_bytes=999_999)
    assert state_of(look(chosen), "broker: dead letters")[0] == "warn"
    small = on_kafka(tmp_path, kafka_url, topic, max_message_bytes=1_000_000)
    assert state_of(look(small), "broker: message size")[0] == "ok"


def test_a_retention_that_comes_near_the_oldest_checkpoint_is_told_of(
    kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    chosen, about = on_kafka(tmp_path, kafka_url, topic), "broker: retention"
    kafka.create_stream(topic)
    kafka.append(topic, 0, [ENVELOPE] * 40)
    checkpointed(chosen, kafka.stream_id(topic), {0: Position(21)})
    assert state_of(look(chosen), about)[0] == "ok"
    kafka.prune(topic, 0, 20)
    kind, text = state_of(look(chosen), about)
    assert kind == "warn"
    assert "stands at 0:21; 5% of what is kept of partition 0 lies before it" in text
    kafka.prune(topic, 0, 30)
    found = named(look(chosen))
    assert found[POSITION].state == "fail"
    assert found[about].state == "warn"
