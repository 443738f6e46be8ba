"""Batches: the samples of one task in stream order, ``batch_size`` at a time.

Invariant: which samples form a batch depends on their positions alone. A batch never straddles
a boundary; one that a boundary cuts short is flushed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Record
from si_stream.merging import Cursor
from si_stream.messages.kinds import SampleSchema


class Admitted(NamedTuple):
    """Samples of a task to train on, in order; ``rows`` are theirs in the record's message.

    ``behind`` is the place behind that message.
    """

    task: Task
    inputs: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    rows: Sequence[int]
    record: Record
    behind: Cursor

    def part(self, begin: int, end: int) -> Admitted:
        rows, these = self.rows[begin:end], slice(begin, end)
        return self._replace(inputs=self.inputs[these], labels=self.labels[these], rows=rows)


Source = Literal["message", "task-name", "every-samples", "detected"]


class TaskEnd(NamedTuple):
    """A place in the stream where the active task has ended, if there is one.

    Whatever says so, this is all that it says. The event ids are those of the messages that do; the
    other sources have none.
    """

    before: Cursor
    behind: Cursor
    event_ids: tuple[str, ...] = ()
    next_task: str | None = None
    ends_stream: bool = False
    source: Source = "message"

    @property
    def is_told(self) -> bool:
        """Whether somebody who knows says so, and not a rule or a guess."""
        return self.source in ("message", "task-name")


class Segment(NamedTuple):
    """Rows of one message that follow each other in a batch."""

    partition: int
    offset: int
    rows: Sequence[int]


class Batch(NamedTuple):
    """Inputs ``[B, *input_shape]``, labels ``[B]`` int64, valid until the next batch is asked for.

    ``then`` is the place of the next sample not yet in a batch, ``segments`` are those of its own.
    """

    task: Task
    inputs: Tensor
    labels: Tensor
    then: Cursor
    segments: tuple[Segment, ...] = ()

    @property
    def size(self) -> int:
        return self.labels.size(0)

    @property
    def place(self) -> int:
        """A number for where it lies, above 0: of integers alone, so the same in every process."""
        positions = sorted(self.then.positions.items())
        return hash((self.then.turn, *positions)) % 2**62 + 1


class Batches:
    """Assembles batches in memory of its own, so that messages may lie anywhere, aligned or not."""

    def __init__(self, schema: SampleSchema, batch_size: int) -> None:
        dtype = torch.uint8 if schema.dtype == "uint8" else torch.float32
        self._inputs = torch.empty(batch_size, *schema.input_shape, dtype=dtype)
        self._labels = torch.empty(batch_size, dtype=torch.int64)
        self._into = (self._inputs.numpy(), self._labels.numpy())
        self._size = batch_size
        self._filled = 0
        self._segments: list[Segment] = []

    @property
    def pending(self) -> int:
        """Samples that wait for the rest of their batch."""
        return self._filled

    def complete(self, taken: Admitted | TaskEnd) -> Iterator[Batch]:
        """Take a message's samples, and yield each batch that they complete.

        A task's end completes the batch that waits, short as it is.
        """
        if isinstance(taken, TaskEnd):
            if self._filled:
                yield self._emptied(taken.before)
            return
        self._task = taken.task
        done = 0
        while done < len(taken.rows):
            count = min(self._size - self._filled, len(taken.rows) - done)
            there, here = slice(self._filled, self._filled + count), slice(done, done + count)
            self._into[0][there], self._into[1][there] = taken.inputs[here], taken.labels[here]
            record = taken.record
            segment = Segment(record.partition, record.offset, taken.rows[done : done + count])
            self._segments.append(segment)
            done += count
            self._filled += count
            if self._filled == self._size:
                yield self._emptied(taken.behind.within(taken.record, taken.rows[done - 1] + 1))

    def _emptied(self, then: Cursor) -> Batch:
        inputs, labels = self._inputs, self._labels
        if self._filled < self._size:
            inputs, labels = inputs[: self._filled], labels[: self._filled]
        batch = Batch(self._task, inputs, labels, then, tuple(self._segments))
        self._filled = 0
        self._segments.clear()
        return batch
