"""Mixed: all tasks of a scenario in one stream, for a learner that may have them at the same time.

Invariant: each sample comes once an epoch, and is learned with its own task's head.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from si_stream.brokers.interface import Envelope
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import End, Message, Samples
from simulators.scenarios import Purpose, Scenario, Task, random_generator

Numbers = npt.NDArray[np.intp]
TOGETHER = "all-tasks"


def mixed(
    scenario: Scenario, *, epochs: int, batch_size: int, shared_head: bool, seed: int
) -> Iterator[Envelope]:
    """Messages of a batch each, in another order every epoch.

    With a shared head the samples of all tasks are shuffled, and a batch has those of several
    tasks. With a head for each task a batch has one task's samples, and batches are shuffled:
    it names its task, so ``boundaries.mode`` has to be ``task-name``.
    """
    index = 0
    for epoch in range(epochs):
        for message in _epoch(scenario, epoch, batch_size, shared_head, seed):
            yield encode(message, source=f"/simulators/{scenario.name}", event_id=f"{index:07d}")
            index += 1
    yield encode(End(f"{index:07d}"), source=f"/simulators/{scenario.name}")


def _epoch(
    scenario: Scenario, epoch: int, size: int, shared_head: bool, seed: int
) -> Iterator[Message]:
    counts = [len(task.train) for task in scenario.tasks]
    owners = np.repeat(np.arange(len(counts)), counts)
    rows = np.concatenate([np.arange(count) for count in counts])
    order = random_generator(seed, Purpose.MIX, 0, epoch).permutation(len(rows))
    if shared_head:
        for first in range(0, len(order), size):
            which = order[first : first + size]
            yield _together(scenario, owners[which], rows[which])
        return
    batches = [
        (task, own[first : first + size])
        for number, task in enumerate(scenario.tasks)
        for own in [rows[order[owners[order] == number]]]
        for first in range(0, len(own), size)
    ]
    shuffled = random_generator(seed, Purpose.MIX, 1, epoch).permutation(len(batches))
    for at in shuffled.tolist():
        yield _alone(*batches[at])


def _alone(task: Task, rows: Numbers) -> Samples:
    return Samples(*task.train.take(rows), task=task.name, classes=task.classes)


def _together(scenario: Scenario, owners: Numbers, rows: Numbers) -> Samples:
    parts, place = [], []
    for number, task in enumerate(scenario.tasks):
        at = np.flatnonzero(owners == number)
        parts.append(task.train.take(rows[at]))
        place.append(at)
    back = np.argsort(np.concatenate(place))
    inputs = np.concatenate([inputs for inputs, _ in parts])[back]
    labels = np.concatenate([labels for _, labels in parts])[back]
    return Samples(inputs, labels, task=TOGETHER, classes=scenario.tasks[0].classes)
