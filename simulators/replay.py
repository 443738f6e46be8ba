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

from si_stream.brokers.interface import Envelope
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary, End, Message, Role, Samples
from simulators.datasets import Images, Labels
from simulators.options import ReplayOptions
from simulators.scenarios import Purpose, Scenario, random_generator
from simulators.stretches import Shown, Stretch, stretches

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

    A silent stream has no boundaries, and its samples name neither task nor classes. It holds the
    same samples, those to train on in the same order (see `simulators.stretches`).

    Raises:
        SettingsError: the scenario's samples do not suffice for the options.
    """
    index = 0
    for part in _parts(scenario, options):
        if isinstance(part, Stretch):
            following = scenario.tasks[part.number + 1 : part.number + 2]
            next_task = following[0].name if following else None
            yield Boundary(event_id(scenario, options, index), next_task)
        else:
            yield part
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
    """Samples in the whole replay: every task's holdout, and its training samples each epoch.

    Raises:
        SettingsError: the scenario's samples do not suffice for the options.
    """
    return sum(
        _holdout_count(scenario, stretch.number, options) + stretch.count
        for stretch in stretches(scenario, options)
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


def _parts(scenario: Scenario, options: ReplayOptions) -> Iterator[Samples | Stretch]:
    """Messages of samples, and each stretch where its end is announced."""
    size = options.samples_per_message
    announced = options.boundaries == "announced"
    shown = Shown(scenario, options)
    waiting: list[tuple[Images, Labels]] = []
    room = size
    for stretch in stretches(scenario, options):
        yield from _holdout(scenario, stretch.number, options)
        told = stretch.number if announced else None
        first = 0
        while first < stretch.count:
            count = min(room, stretch.count - first)
            waiting.append(shown.take(stretch, first, count))
            first += count
            room -= count
            if room == 0 or (announced and first == stretch.count):
                yield _samples(scenario, told, "train", waiting)
                waiting, room = [], size
        if announced:
            yield stretch
    if waiting:
        yield _samples(scenario, None, "train", waiting)


def _holdout(scenario: Scenario, number: int, options: ReplayOptions) -> Iterator[Samples]:
    test = scenario.tasks[number].test
    order = random_generator(options.seed, Purpose.HOLDOUT, number).permutation(len(test))
    told = number if options.boundaries == "announced" else None
    count = _holdout_count(scenario, number, options)
    for first in range(0, count, options.samples_per_message):
        taken = test.take(order[first : min(first + options.samples_per_message, count)])
        yield _samples(scenario, told, "holdout", [taken])


def _samples(
    scenario: Scenario, told: int | None, role: Role, parts: Sequence[tuple[Images, Labels]]
) -> Samples:
    """One message; ``told`` is the number of the task that it names, if it names one."""
    task = None if told is None else scenario.tasks[told]
    inputs, labels = parts[0]
    if len(parts) > 1:
        inputs = np.concatenate([inputs for inputs, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
    return Samples(
        inputs,
        labels,
        task=task.name if task else None,
        role=role,
        classes=task.classes if task else None,
    )


def _holdout_count(scenario: Scenario, number: int, options: ReplayOptions) -> int:
    """None where the task comes again: a learner holds its test samples already."""
    task = scenario.tasks[number]
    if not options.holdout or task.name in {one.name for one in scenario.tasks[:number]}:
        return 0
    return min(len(task.test), options.holdout_samples_per_task or len(task.test))


def _envelope(scenario: Scenario, options: ReplayOptions, index: int, message: Message) -> Envelope:
    return encode(
        message,
        event_id=event_id(scenario, options, index),
        source=f"/simulators/{scenario.name}",
        codec=options.codec,
    )
