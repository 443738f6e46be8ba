"""What is varied between runs: the model, how it learns, its stream, how often it is saved.

Each stream has three tasks with their holdout sets, bad rows, messages that are none, a sample of
a wrong task and a boundary that was sent twice.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope
from si_stream.messages.kinds import Boundary, End, Message, Role, Samples
from si_stream.settings import Settings
from tests.streams import dealt, filled, samples, settings

TASKS = "abc"
HOLDOUT_SAMPLES = 60


class Variety(NamedTuple):
    """One way to learn; ``groups`` are settings beside those of `tests.streams`."""

    name: str
    groups: dict[str, Any]
    samples: int = 12_000
    partitions: int = 1
    shape: tuple[int, ...] = (4,)
    boundaries: bool = True
    silent: bool = False  # no task is named; the second gives labels another meaning, the third is
    # the first, come back

    def settings(self, directory: Path) -> Settings:
        groups = dict(self.groups)
        model = {"input_shape": self.shape, **groups.pop("model", {})}
        stream = {"broker": f"embedded:{broker_of(directory)}", **groups.pop("stream", {})}
        holdout = {"evaluation_interval_steps": 100, **groups.pop("holdout", {})}
        learner = {"exit_at_end": True, **groups.pop("learner", {})}
        given = {"model": model, "stream": stream, "holdout": holdout, "learner": learner}
        return settings(directory, **given, **groups)

    def messages(self) -> list[Message | Envelope]:
        random, each = Random(self.name), self.samples // len(TASKS)
        held: list[Message | Envelope] = []
        for number, task in enumerate(TASKS):
            held.append(self._samples(HOLDOUT_SAMPLES, 60_000 + 100 * number, task, bad=(1, 9)))
            first = number * each
            while first < (number + 1) * each:
                count = min(random.choice((1, 5, 60, 300)), (number + 1) * each - first)
                bad = [row for row in range(count) if random.random() < 0.02]
                held.append(self._samples(count, first, task, bad=bad))
                first += count
                if random.random() < 0.1:
                    held.append(Envelope({}, b"no message"))
            if self.boundaries and not self.silent:
                held.append(self._samples(1, first, "nobody's"))
                held += [Boundary(f"end of {task}")] * 2
        return [*held, End("the end")]

    def _samples(self, count: int, first: int, task: str, bad: Any = ()) -> Samples:
        role: Role = "holdout" if first >= 60_000 else "train"
        if not self.silent:
            return samples(count, first, bad=bad, shape=self.shape, task=task, role=role)
        world = samples(self.samples, shape=self.shape)
        inputs = world.inputs[np.random.default_rng(first).integers(0, len(world), count)]
        labels = (inputs[:, 2] > 127).astype(np.int64) ^ (TASKS.index(task) % 2)
        labels[list(bad)] = 99
        return Samples(inputs, labels, role=role)

    def fill(self, directory: Path) -> None:
        """Put the stream into the log that the settings for a directory name."""
        directory.mkdir(parents=True)
        if self.partitions == 1:
            partitions = [self.messages()]
        else:
            partitions = dealt(self.messages(), "0012", self.partitions)
        with EmbeddedBroker(broker_of(directory)) as broker:
            filled(broker, *partitions)


def broker_of(directory: Path) -> Path:
    return directory / "broker.sqlite"


def checkpointed(interval_seconds: float, keep: int = 3, at_boundaries: int = 5) -> dict[str, Any]:
    return {
        "interval_seconds": interval_seconds,
        "keep": keep,
        "keep_at_boundaries": at_boundaries,
    }


PLAIN = {"device": "cpu", "kernel": "plain"}
NUMBA = {"device": "cpu", "kernel": "numba"}
SHADOW = {"shadow": "none"}

VARIETIES = (
    Variety(
        "Adam with a shadow",
        {"learner": SHADOW, "compute": NUMBA, "checkpoints": checkpointed(0.02, 1, 1)},
    ),
    Variety(
        "three partitions",
        {
            "compute": NUMBA,
            "checkpoints": checkpointed(0.05),
            "snapshots": {"interval_seconds": 0.05},
        },
        partitions=3,
    ),
    Variety(
        "gradient descent, plain kernel",
        {
            "optimiser": {"kind": "sgd", "learning_rate": 0.05},
            "consolidator": {"strength": 0.01},
            "compute": PLAIN,
            "checkpoints": checkpointed(0.1),
        },
    ),
    Variety(
        "batch norm and dropout in a module of one's own",
        {
            "model": {
                "network": {"kind": "module", "module": f"{__package__}.trunks:with_batch_norm"}
            },
            "compute": NUMBA,
            "checkpoints": checkpointed(0.03),
        },
        samples=6_000,
    ),
    Variety(
        "convolutions with dropout",
        {
            "model": {"network": {"kind": "cifar-cnn", "head_initialisation": "zero"}},
            "compute": NUMBA,
            "checkpoints": checkpointed(0.2, 2),
        },
        samples=2_400,
        shape=(1, 12, 12),
    ),
    Variety(
        "a diverted holdout, the log kept from the oldest checkpoint on",
        {
            "holdout": {"source": "divert", "share": 0.05, "capacity": 80},
            "stream": {"retention": "checkpoints"},
            "learner": SHADOW,
            "compute": NUMBA,
            "checkpoints": checkpointed(0.02, 2, 0),
        },
    ),
    Variety(
        "one head for all tasks, everything kept over a boundary",
        {
            "model": {"heads": "shared"},
            "optimiser": {"keep_over_boundary": "all", "epsilon_placement": "after-correction"},
            "compute": PLAIN,
            "checkpoints": checkpointed(0.01, 1, 0),
        },
        samples=6_000,
    ),
    Variety(
        "boundaries by the task's name, no holdout, three partitions",
        {
            "boundaries": {"mode": "task-name"},
            "holdout": {"source": "off"},
            "optimiser": {"keep_over_boundary": "nothing"},
            "compute": NUMBA,
            "checkpoints": checkpointed(0.05),
        },
        partitions=3,
        boundaries=False,
    ),
    Variety(
        "fine-tuning, gradient descent, snapshots all the time",
        {
            "consolidator": {"kind": "none"},
            "optimiser": {"kind": "sgd", "learning_rate": 0.02},
            "compute": NUMBA,
            "checkpoints": checkpointed(0.01),
            "snapshots": {"interval_seconds": 0.01, "keep": 1},
        },
    ),
    Variety(
        "large batches, seldom saved",
        {
            "model": {"batch_size": 64, "network": {"hidden": (64, 64)}},
            "learner": SHADOW,
            "compute": PLAIN,
            "checkpoints": checkpointed(0.2, 2),
        },
        samples=45_000,
    ),
    Variety(
        "boundaries that are detected",
        {
            "detection": {"kind": "adwin", "window_samples": 512},
            "optimiser": {"learning_rate": 0.003},
            "compute": NUMBA,
            "checkpoints": checkpointed(0.01),
        },
        silent=True,
    ),
)
