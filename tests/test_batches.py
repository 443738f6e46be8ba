"""Batches: positions alone decide which samples form one, and a boundary cuts it short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from si_stream.batches import Admitted, Batches, TaskEnd
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Position, Record
from si_stream.merging import Cursor
from si_stream.messages.kinds import SampleSchema

TASK = Task(name="a", number=0, head=0)
SCHEMA = SampleSchema(input_shape=(2,), dtype="float32", outputs=10_000)
START = Cursor({0: Position(), 1: Position(7)})
END = "a task's end"


class Message(NamedTuple):
    """What was admitted of a message: these labels, from these of its rows."""

    labels: Sequence[int]
    rows: Sequence[int] | None = None

    def at(self, record: Record, behind: Cursor) -> Admitted:
        inputs = np.repeat(np.array(self.labels, np.float32)[:, None], 2, axis=1)
        rows = self.rows or range(len(self.labels))
        return Admitted(TASK, inputs, np.array(self.labels, np.int64), rows, record, behind)


def assembled(batches: Batches, *messages: Message | str) -> list[tuple[list[int], Position]]:
    """The labels of each batch that partition 0's messages complete, and the position behind it."""
    made = []
    for offset, one in enumerate(messages):
        record = Record(0, offset, 0.0, {}, b"")
        before = START.behind([Record(0, offset - 1, 0.0, {}, b"")])
        behind = START.behind([record])
        taken = one.at(record, behind) if isinstance(one, Message) else TaskEnd(before, behind)
        for batch in batches.complete(taken):
            assert batch.inputs.tolist() == [[label, label] for label in batch.labels.tolist()]
            assert batch.then.positions[1] == Position(7)
            made.append((batch.labels.tolist(), batch.then.positions[0]))
    return made


def test_a_message_fills_a_batch_and_begins_the_next() -> None:
    batches = Batches(SCHEMA, batch_size=3)
    assert assembled(batches, Message([0, 1]), Message([2, 3])) == [([0, 1, 2], Position(1, 1))]
    assert batches.pending == 1


def test_a_large_message_is_several_batches() -> None:
    made = assembled(Batches(SCHEMA, batch_size=2), Message([0, 1, 2, 3, 4]))
    assert made == [([0, 1], Position(0, 2)), ([2, 3], Position(0, 4))]


def test_the_position_counts_rows_of_the_message_not_of_what_was_admitted() -> None:
    made = assembled(Batches(SCHEMA, batch_size=2), Message([0, 1, 2, 3], rows=[1, 4, 5, 8]))
    assert made == [([0, 1], Position(0, 5)), ([2, 3], Position(0, 9))]


def test_a_batch_that_ends_within_a_message_leaves_the_turn_with_its_partition() -> None:
    batches, record = Batches(SCHEMA, batch_size=3), Record(1, 7, 0.0, {}, b"")
    behind = START.behind([Record(0, 4, 0.0, {}, b"")], turn=1).behind([record], turn=0)
    [batch] = batches.complete(Message([0, 1, 2, 3]).at(record, behind))
    assert batch.then == Cursor({0: Position(5), 1: Position(7, 3)}, turn=1)


def test_a_tasks_end_completes_the_batch_that_waits() -> None:
    batches = Batches(SCHEMA, batch_size=4)
    assert assembled(batches, Message([0, 1, 2]), END) == [([0, 1, 2], Position(1))]
    assert batches.pending == 0
    assert assembled(batches, END) == []


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 7))
def test_how_samples_come_in_messages_does_not_change_the_batches(
    sizes: list[int], batch_size: int
) -> None:
    starts = np.cumsum([0, *sizes]).tolist()
    messages = [Message(range(i, i + n)) for i, n in zip(starts, sizes, strict=False)]
    made = [labels for labels, _ in assembled(Batches(SCHEMA, batch_size), *messages, END)]
    whole = list(range(sum(sizes)))
    assert made == [whole[i : i + batch_size] for i in range(0, len(whole), batch_size)]


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", torch.uint8), ("float32", torch.float32)]
)
def test_a_batch_has_the_models_dtype_and_starts_on_64_bytes(dtype, expected) -> None:  # type: ignore[no-untyped-def]
    batches = Batches(SampleSchema((3, 5), dtype, 10), batch_size=4)
    inputs = np.ones((7, 3, 5), dtype)
    record = Record(0, 0, 0.0, {}, b"")
    taken = Admitted(TASK, inputs, np.arange(7), range(7), record, START.behind([record]))
    for batch in [*batches.complete(taken)]:
        assert (batch.inputs.dtype, batch.labels.dtype) == (expected, torch.int64)
        assert batch.inputs.shape == (4, 3, 5)
        assert batch.inputs.data_ptr() % 64 == batch.labels.data_ptr() % 64 == 0
    assert batches.pending == 3
