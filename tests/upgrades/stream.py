"""The streams of the upgrade tests, of two small tasks, and how any commit sends them:

    python -P stream.py KIND LOG FIRST LAST

appends the messages from FIRST up to LAST to the embedded log in a file. Invariant: only what every
commit has had is imported, and the same messages come whatever sends them; every other one is JSON.
"""

from __future__ import annotations

import sys
from typing import Literal

import numpy as np

from si_stream.brokers import open_broker
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary, End, Message, Samples

Kind = Literal["told", "detected"]
STREAM = "samples"
MODEL = {
    "model.input_shape": "8",
    "model.outputs": "4",
    "model.batch_size": "8",
    "model.network.hidden": "6",
    "model.network.head_initialisation": "glorot-uniform",
}
DETECTION = {
    "optimiser.learning_rate": "0.01",
    "detection.kind": "adwin",
    "detection.window_samples": "128",
    "detection.min_task_samples": "128",
    "detection.told_within_samples": "64",
    "detection.min_evidence_nats": "8.0",
}
SETTINGS: dict[Kind, dict[str, str]] = {"told": MODEL, "detected": MODEL | DETECTION}


def messages(kind: Kind) -> list[Message]:
    """A holdout set, a task and another; told, or nobody says where the second one begins."""
    if kind == "told":
        return [
            samples(6, 900, task="a", role="holdout"),
            *(samples(10, first, task="a") for first in range(0, 60, 10)),
            Boundary("first", "b"),
            samples(6, 950, task="b", role="holdout"),
            *(samples(10, first, shift=1, task="b") for first in range(100, 160, 10)),
            End("second"),
        ]
    return [
        *(samples(40, first) for first in range(0, 800, 40)),
        *(samples(40, first, shift=1) for first in range(800, 1280, 40)),
        End("last"),
    ]


HALF: dict[Kind, int] = {"told": 12, "detected": 28}
"""Messages of the first half: in the second task, with a batch begun, and so far into it that where
it began has been detected."""


def samples_of_half(kind: Kind) -> int:
    """Trained on by a learner of the first half; at most one batch waits for its rest."""
    sent = messages(kind)[: HALF[kind]]
    training = sum(len(m) for m in sent if isinstance(m, Samples) and m.role == "train")
    return training - 7


def samples(
    count: int, first: int, *, shift: int = 0, task: str | None = None, role: str = "train"
) -> Samples:
    """Of four labels, each bright in two of eight pixels; shifted, in those of the next label."""
    random = np.random.default_rng(first)
    labels = random.integers(0, 4, count)
    inputs = 40 * random.integers(0, 3, (count, 8))
    rows = np.arange(count)
    for pixel in (0, 1):
        inputs[rows, 2 * ((labels + shift) % 4) + pixel] += 160
    return Samples(inputs.astype(np.uint8), labels.astype(np.int64), task=task, role=role)  # type: ignore[arg-type]


def send(kind: Kind, log: str, first: int, last: int) -> None:
    with open_broker(f"embedded:{log}") as broker:
        broker.create_stream(STREAM, 1)
        for number, message in [*enumerate(messages(kind))][first:last]:
            envelope = encode(
                message,
                source="/tests/upgrades",
                event_id=f"samples-{number}" if isinstance(message, Samples) else None,
                codec="json" if number % 2 else "arrow",
                time_seconds=1_700_000_000.0,
            )
            broker.append(STREAM, 0, [envelope])


if __name__ == "__main__":
    kind, log, first, last = sys.argv[1:]
    send(kind, log, int(first), int(last))  # type: ignore[arg-type]
