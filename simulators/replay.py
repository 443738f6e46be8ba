"""Replays a scenario: messages, their envelopes, and the batches in which a broker gets them.

The same scenario and options give the same envelopes, byte for byte, whatever the broker,
the pace or an interruption; one message's samples are in memory at a time, and one batch's
bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from si_stream.brokers.interface import Envelope
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary, End, Message, Role, Samples
from simulators.options import ReplayOptions
from simulators.scenarios import Purpose, SampleSet, Scenario, Task, random_generator

Sink = Callable[[int, Sequence[Envelope]], object]

# A durable append costs a flush of the disk: some bytes must share it.
BATCH_BYTES = 4 * 2**20
# Shorter waits than this are not worth an append of their own.
BATCH_SECONDS = 0.05
# How long a replay that waits for its next message may take to see that it shall stop.
STOP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come: what the sink has taken so far, and all that there is."""

    samples: int
    total_samples: int
    messages: int
    task: str | None = None
    finished: bool = False


def messages(scenario: Scenario, options: ReplayOptions) -> Iterator[Message]:
    """The stream: for each task its holdout samples, its training samples, epoch after epoch in
    another order each, and its boundary; then the end.

    A silent stream has no boundaries, and its samples name neither task nor classes.
    """
    index = 0
    for number, task in enumerate(scenario.tasks):
        for samples in _task_samples(number, task, options):
            yield samples
            index += 1
        if options.boundaries == "announced":
            following = scenario.tasks[number + 1 : number + 2]
            next_task = following[0].name if following else None
            yield Boundary(event_id(scenario, options, index), next_task)
            index += 1
    if options.end:
        yield End(event_id(scenario, options, index))


def envelopes(scenario: Scenario, options: ReplayOptions) -> Iterator[Envelope]:
    """The messages as they travel, without the time of sending, so that they never differ."""
    for index, message in enumerate(messages(scenario, options)):
        yield _envelope(scenario, options, index, message)


def dealt(stream: Iterable[Message], partitions: int) -> Iterator[tuple[Message, Sequence[int]]]:
    """Each message and the partitions that it goes to: samples to one after the other, a boundary
    and the end to all, and after them samples to the first again. A learner that takes turns
    therefore has them in the stream's own order.
    """
    turn = 0
    for message in stream:
        if isinstance(message, Samples):
            yield message, (turn,)
            turn = (turn + 1) % partitions
        else:
            yield message, range(partitions)
            turn = 0


def event_id(scenario: Scenario, options: ReplayOptions, index: int) -> str:
    """The id of a replay's message number ``index``, such as ``split-mnist/seed-0/000123``."""
    return f"{scenario.name}/seed-{options.seed}/{index:06d}"


def sample_count(scenario: Scenario, options: ReplayOptions) -> int:
    """Samples in the whole replay: every task's holdout, and its training samples each epoch."""
    return sum(
        _holdout_count(task, options) + options.epochs_per_task * len(task.train)
        for task in scenario.tasks
    )


def replay(
    scenario: Scenario,
    options: ReplayOptions,
    sink: Sink,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Send the whole stream to the sink, in order, at the rate of the options.

    Args:
        sink: takes the number of a partition and a batch of envelopes, and returns when it has
            them for good, such as ``functools.partial(broker.append, stream)``.
        progress: called after each batch; with several partitions, after one batch of each.
        stop: asked before each message; once true, the replay sends the batch at hand and
            returns, unfinished.

    Raises:
        BrokerError: whatever the sink raises. What was sent before stays sent.
    """
    rate = options.rate_samples_per_second
    total = sample_count(scenario, options)
    batches: list[list[Envelope]] = [[] for _ in range(options.partitions)]
    batch_bytes = samples = index = 0
    task: str | None = None
    started = time.monotonic()

    def send() -> None:
        nonlocal batch_bytes
        if not any(batches):
            return
        for partition, batch in enumerate(batches):
            if batch:
                sink(partition, batch)
                batches[partition] = []
        batch_bytes = 0
        if progress is not None:
            progress(Progress(samples, total, index, task))

    for message, partitions in dealt(messages(scenario, options), options.partitions):
        due = started + samples / rate if rate else started
        if due - time.monotonic() > BATCH_SECONDS:
            send()
            while not stop() and (wait := due - time.monotonic()) > 0:
                time.sleep(min(wait, STOP_SECONDS))
        if stop():
            finished = False
            break
        envelope = _envelope(scenario, options, index, message)
        for partition in partitions:
            batches[partition].append(envelope)
            batch_bytes += len(envelope.value)
        index += 1
        if isinstance(message, Samples):
            samples += len(message)
            task = message.task
        if batch_bytes >= BATCH_BYTES:
            send()
    else:
        finished = True
    send()
    return Progress(samples, total, index, task, finished)


def _task_samples(number: int, task: Task, options: ReplayOptions) -> Iterator[Samples]:
    holdout = random_generator(options.seed, Purpose.HOLDOUT, number).permutation(len(task.test))
    yield from _in_messages(
        task, task.test, "holdout", holdout[: _holdout_count(task, options)], options
    )
    for epoch in range(options.epochs_per_task):
        generator = random_generator(options.seed, Purpose.ORDER, number, epoch)
        order = generator.permutation(len(task.train))
        yield from _in_messages(task, task.train, "train", order, options)


def _in_messages(
    task: Task,
    source: SampleSet,
    role: Role,
    order: npt.NDArray[np.intp],
    options: ReplayOptions,
) -> Iterator[Samples]:
    announced = options.boundaries == "announced"
    for first in range(0, len(order), options.samples_per_message):
        inputs, labels = source.take(order[first : first + options.samples_per_message])
        yield Samples(
            inputs,
            labels,
            task=task.name if announced else None,
            role=role,
            classes=task.classes if announced else None,
        )


def _holdout_count(task: Task, options: ReplayOptions) -> int:
    if not options.holdout:
        return 0
    return min(len(task.test), options.holdout_samples_per_task or len(task.test))


def _envelope(scenario: Scenario, options: ReplayOptions, index: int, message: Message) -> Envelope:
    return encode(
        message,
        event_id=event_id(scenario, options, index),
        source=f"/simulators/{scenario.name}",
        codec=options.codec,
    )
