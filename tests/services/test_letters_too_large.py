"""Messages that the stream of dead letters does not take, on a real Kafka broker: the learner goes
on, and of each there is one letter, without the message."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import CollectorRegistry

from services.learner_host import LearnerHost
from si_stream.brokers.interface import Envelope
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import (
    ROOM_FOR_HEADERS_BYTES,
    DeadLetters,
    Fault,
    Letter,
    read_letters,
    stream_of_letters,
)
from si_stream.errors import MessageError, Reason
from si_stream.messages.kinds import End
from si_stream.opening import Opened
from si_stream.state import State
from tests.services.learner_process import on_kafka
from tests.streams import enveloped, samples

SOURCE = {"ce_source": "a camera", "note": "not one of ours"}


def letters(kafka: KafkaBroker, topic: str) -> list[Letter]:
    return [letter for _, letter in read_letters(kafka, topic)]


def test_the_stream_of_letters_takes_what_the_stream_takes(kafka: KafkaBroker, topic: str) -> None:
    kafka.create_stream(topic, max_message_bytes=20_000_000)
    DeadLetters(kafka, topic, 10 * 2**20)
    room = kafka.max_message_bytes(stream_of_letters(topic))
    assert room == 20_000_000 + ROOM_FOR_HEADERS_BYTES


@pytest.mark.parametrize("size", [2_000_000, 700_000])  # flushed at once, or for a checkpoint
def test_a_message_too_large_for_its_letter_stops_neither_learning_nor_checkpoints(
    size: int, kafka: KafkaBroker, kafka_url: str, topic: str, tmp_path: Path
) -> None:
    kafka.create_stream(topic, max_message_bytes=3_000_000)
    kafka.create_stream(stream_of_letters(topic), max_message_bytes=500_000)
    large, small = Envelope(SOURCE, b"{" * size), Envelope(SOURCE, b"{")
    good = samples(20, task="a")
    kafka.append(topic, 0, [small, large, *enveloped([good, End("1")])])
    chosen = on_kafka(tmp_path, topic, kafka_url)
    state = State(chosen, kafka.stream_id(topic))
    with closing(LearnerHost(chosen, kafka, CollectorRegistry(), Event())) as host:
        host.resume(state)
        host.learn(state)
        assert host.finish(state).samples == 20
    checkpoint = CheckpointStore(chosen.directory).newest()
    assert checkpoint is not None
    assert checkpoint.manifest.ledger.dead_letters == 2
    kept, bare = letters(kafka, topic)
    assert kept.message == small
    assert kept.left_out_bytes is None
    assert (bare.offset, bare.reason, bare.left_out_bytes) == (1, "undecodable", size)
    assert bare.message == Envelope({"ce_source": "a camera"}, b"")


def test_letters_of_which_some_were_taken_before_one_was_not_are_written_once(
    kafka: KafkaBroker, topic: str
) -> None:
    kafka.create_stream(topic)
    kafka.create_stream(stream_of_letters(topic), max_message_bytes=200_000)
    # Each is a batch of its own, and of the third the headers make it too large.
    long = Envelope({"note": "x" * 100_000}, bytes(150_000))
    sent = [Envelope({}, bytes(120_000)), Envelope({}, bytes(120_000)), long, Envelope({}, b"{")]
    kafka.append(topic, 0, sent)
    one = DeadLetters(kafka, topic, 10_000)
    error = MessageError(Reason.UNDECODABLE, "broken")
    read = 0
    with kafka.reader(topic, {}) as reader:
        while read < len(sent):
            for record in reader.poll(1.0):
                one.add(Fault(Opened(record, error), None, error), 0.0)
                read += 1
    assert one.flush(one.seal()) == 4
    found = letters(kafka, topic)
    assert [letter.offset for letter in found] == [0, 1, 2, 3]
    assert [letter.left_out_bytes for letter in found] == [None, None, 150_000, None]
