"""Dead letters: each fault once, with its original bytes, whatever stops a learner."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.learner_host import LearnerHost
from si_stream.brokers.interface import Broker, Envelope, Position
from si_stream.checkpoints.copies import StateCopy
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import DeadLetters, Fault, Letter, read_letters, stream_of_letters
from si_stream.errors import MessageError, Reason, StreamNotFound
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Boundary, End, Message, Samples
from si_stream.opening import Opened
from si_stream.resubmissions import mark as mark_sent
from si_stream.settings import Settings
from si_stream.state import State
from tests.streams import STREAM, enveloped, memory_broker, samples, settings

BROKEN = Envelope({"ce_type": "si-stream.samples", "content-type": "application/json"}, b"{")
MESSAGES: list[Message | Envelope] = [
    samples(12, 0, task="a", bad=[3, 7]),
    BROKEN,
    samples(4, 50, task="a"),
    samples(4, 60, task="b"),  # nobody has announced it
    Boundary("1"),
    End("2"),
]


@contextmanager
def learning(broker: Broker, chosen: Settings) -> Iterator[tuple[LearnerHost, State]]:
    """A host that has learned the stream to its end, and saved nothing since the last boundary."""
    state = State(chosen, broker.stream_id(STREAM))
    with closing(LearnerHost(chosen, broker, CollectorRegistry(), Event())) as host:
        host.resume(state)
        host.learn(state)
        assert host.checkpointing.wait(30)
        yield host, state


def letters(broker: Broker) -> list[Letter]:
    return [letter for _, letter in read_letters(broker, STREAM)]


def places(broker: Broker) -> list[tuple[int, int | None, str]]:
    return [(letter.offset, letter.row, letter.reason) for letter in letters(broker)]


def mark(chosen: Settings) -> int:
    checkpoint = CheckpointStore(chosen.directory).newest()
    assert checkpoint is not None
    return checkpoint.manifest.ledger.dead_letters


EXPECTED = [
    (0, 3, "label_out_of_range"),
    (0, 7, "label_out_of_range"),
    (1, None, "undecodable"),
    (3, None, "wrong_task"),
]


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(tmp_path / "model", learner={"exit_at_end": True})


def test_each_fault_has_one_letter_that_says_where_and_what(chosen: Settings) -> None:
    broker = memory_broker(MESSAGES)
    with learning(broker, chosen) as (_, state):
        assert sum(state.ledger.rejected.values()) == 4
    assert places(broker) == EXPECTED
    broken = letters(broker)[2]
    assert broken.message == BROKEN
    assert "JSON" in broken.detail or "json" in broken.detail
    assert broken.letter_id == f"{broker.stream_id(STREAM)}/0/1"


def test_a_bad_row_becomes_a_message_of_that_row_alone(chosen: Settings) -> None:
    broker = memory_broker(MESSAGES)
    with learning(broker, chosen) as (_, state):
        letter = letters(broker)[0]
        alone = decode(letter.message.headers, letter.message.value, state.schema, 10**6)
    original = MESSAGES[0]
    assert isinstance(alone, Samples)
    assert isinstance(original, Samples)
    assert (len(alone), alone.task, alone.labels.tolist()) == (1, "a", [99])
    assert np.array_equal(alone.inputs[0], original.inputs[3])


def test_a_row_of_json_with_nan_and_a_source_that_cannot_be_printed_have_a_letter(
    tmp_path: Path,
) -> None:
    value = b'{"labels": [1, 2], "inputs": [[1, 2, 3, 4], [1, NaN, 3, 4]]}'
    broker = memory_broker([Envelope({"ce_source": "a\nb"}, value), End("1")])
    floats = settings(tmp_path, model={"dtype": "float32"}, learner={"exit_at_end": True})
    with learning(broker, floats) as (_, state):
        assert state.ledger.samples == 1
        (letter,) = letters(broker)
        alone = decode(letter.message.headers, letter.message.value, state.schema, 10**6)
    assert (letter.row, letter.reason) == (1, "not_finite")
    assert letter.message.headers["ce_source"] == "a\nb"
    assert isinstance(alone, Samples)
    assert np.array_equal(alone.inputs, np.array([[1, np.nan, 3, 4]], np.float32), equal_nan=True)


def test_a_sender_who_uses_the_headers_of_letters_misleads_nobody(chosen: Settings) -> None:
    claims = {"id": "x", "partition": "-", "offset": "9" * 5000, "row": "no row"}
    hostile = Envelope({f"dead_letter_{name}": text for name, text in claims.items()}, b"{")
    broker = memory_broker([hostile, *MESSAGES])
    broker.create_stream(stream_of_letters(STREAM))
    broker.append(stream_of_letters(STREAM), 0, [hostile])  # into the stream of letters itself
    for _ in range(2):  # the second one reads what the first has written
        with learning(broker, chosen):
            pass
    shutil.rmtree(chosen.directory)
    with learning(broker, chosen) as (host, state):
        host.finish(state)
    found = [(offset + 1, row, reason) for offset, row, reason in EXPECTED]
    assert places(broker) == [(0, None, "unknown"), (0, None, "undecodable"), *found]
    assert letters(broker)[1].letter_id == f"{broker.stream_id(STREAM)}/0/0"


def test_a_learner_that_resumes_from_an_older_checkpoint_writes_no_letter_twice(
    chosen: Settings,
) -> None:
    broker = memory_broker(MESSAGES)
    with learning(broker, chosen) as (host, _):
        host.dead_letters.flush(host.dead_letters.seal())
    # As after a crash between the letters and the checkpoint: the letters are there, it is not.
    another = chosen.model_copy(update={"directory": chosen.directory.with_name("empty")})
    with learning(broker, another) as (host, state):
        host.finish(state)
        assert mark(another) == 4
    assert places(broker) == EXPECTED


def test_marks_of_what_was_sent_again_are_no_letters_and_double_none(chosen: Settings) -> None:
    broker = memory_broker(MESSAGES)
    with learning(broker, chosen) as (host, state):
        host.finish(state)
    mark_sent(broker, STREAM, [0, 1], 0.0)
    another = chosen.model_copy(update={"directory": chosen.directory.with_name("empty")})
    with learning(broker, another) as (host, state):
        host.finish(state)
    assert places(broker) == EXPECTED
    broker.append(STREAM, 0, enveloped([BROKEN, End("3")]))
    with learning(broker, chosen) as (host, state):
        host.finish(state)
        assert mark(chosen) == 6  # the mark of what was sent takes an offset too
    assert places(broker) == [*EXPECTED, (6, None, "undecodable")]


def test_a_checkpoint_is_not_behind_letters_whose_faults_are_still_to_come(
    chosen: Settings,
) -> None:
    broker = memory_broker(MESSAGES)
    with learning(broker, chosen) as (host, _):
        assert host.dead_letters.flush(host.dead_letters.seal()) == 4
    resumed = DeadLetters(broker, STREAM, max_message_bytes=10**6)
    resumed.resume(4, {})
    assert resumed.flush(resumed.seal()) == 4
    resumed.resume(1, {})
    assert resumed.flush(resumed.seal()) == 1
    resumed.resume(1, {0: Position(3)})  # those before have been counted
    assert resumed.flush(resumed.seal()) == 3


def test_a_checkpoint_before_letters_that_a_dead_learner_wrote_does_not_pass_them() -> None:
    broker = memory_broker([BROKEN, BROKEN, BROKEN])
    with broker.reader(STREAM, {}) as reader:
        faults = [
            Fault(Opened(record, error), None, error)
            for record in reader.poll(0)
            for error in [MessageError(Reason.UNDECODABLE, "broken")]
        ]
    # Each goes on from the checkpoint of the one before; the first dies without any.
    mark = 0
    for first, behind in ((0, 3), (0, 1), (1, 2), (2, 3)):
        one = DeadLetters(broker, STREAM, 10_000)
        one.resume(mark, {})
        for fault in faults[first:behind]:
            one.add(fault, 0.0)
        offset = one.flush(one.seal())
        mark = offset if first or behind < 3 else 0
    assert [place for place, *_ in places(broker)] == [0, 1, 2]


def test_letters_are_durable_before_the_checkpoint_that_passes_them(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = memory_broker(MESSAGES)
    write = CheckpointStore.write
    found: list[tuple[int, int]] = []

    def watched(store: CheckpointStore, copy: StateCopy, *rest: Any) -> tuple[Path, int]:
        found.append((copy.ledger.dead_letters, len(places(broker))))
        return write(store, copy, *rest)

    monkeypatch.setattr(CheckpointStore, "write", watched)
    with learning(broker, chosen):
        pass
    assert found[-1] == (4, 4)
    assert all(marked <= there for marked, there in found)


def test_the_oldest_go_where_there_are_too_many_and_none_that_no_checkpoint_knows() -> None:
    broker = memory_broker([])
    one = DeadLetters(broker, STREAM, 10_000)
    broker.append(one.letters, 0, [Envelope({}, bytes(1000))] * 6)
    bounds = [(9, 9999, 6), (5, 9999, 5), (5, 4500, 4), (5, 0, 5), (1, 9999, 6)]
    low = []
    for letters, size_bytes, mark in bounds:
        one.kept_letters, one.kept_bytes = letters, size_bytes
        one.prune(mark)
        low.append(broker.watermarks(one.letters, 0).low)
    assert low == [0, 0, 2, 5, 5]


def test_before_anything_was_rejected_there_is_no_stream_of_letters() -> None:
    broker = memory_broker([])
    with pytest.raises(StreamNotFound, match=stream_of_letters(STREAM)):
        letters(broker)
