"""What is said to be needed at most is what is really written, and not much more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.doctor.bounds import (
    bound_bytes,
    checkpoint_bytes,
    holdout_bytes,
    matrix_bytes,
    snapshot_bytes,
)
from services.doctor.disk import used_bytes
from services.doctor.network import full_size
from services.journal import LIMIT_BYTES
from si_stream.brokers.interface import Envelope
from si_stream.messages.kinds import Boundary, End, Message, Samples
from tests.services.test_learner_host import hosted
from tests.streams import memory_broker, settings

TASKS = 4
HEADER_BYTES = 300  # of a file of tensors
PER_TASK = 1500  # a portrait is drawn of the first 1024
SHAPE = (28, 28)


def stream() -> list[Message | Envelope]:
    """Worlds that differ, each with a holdout set."""
    random = np.random.default_rng(0)
    sent: list[Message | Envelope] = []
    for task in range(TASKS):
        world = random.integers(0, 100, (3, *SHAPE))
        labels = np.arange(PER_TASK) % 3
        inputs = (world[labels] + random.integers(0, 50, (PER_TASK, *SHAPE))).astype(np.uint8)
        name = f"task-{task + 1}"
        held = Samples(inputs[:60], labels[:60], task=name, role="holdout")
        sent += [held, Samples(inputs, labels, task=name), Boundary(str(task))]
    return [*sent[:-1], End("end")]


@pytest.mark.parametrize("detection", ["off", "adwin"])
@pytest.mark.parametrize("shadow", ["off", "none"])
def test_all_that_is_kept_of_a_model_with_all_of_its_tasks_fits_into_the_bound(
    tmp_path: Path, shadow: str, detection: str
) -> None:
    chosen = settings(
        tmp_path,
        model={"input_shape": SHAPE, "network": {"hidden": (8,)}, "batch_size": 50},
        learner={"shadow": shadow, "exit_at_end": True},
        detection={"kind": detection, "returning": False},
        boundaries={"max_tasks": TASKS},
        checkpoints={"keep": 2, "keep_at_boundaries": 1},
        holdout={"capacity": 50},
    )
    with hosted(memory_broker(stream()), chosen) as (host, state):
        while host.learn(state):
            pass
        host.finish(state)
        host.checkpointing.wait(30)
    assert len(state.portraits.known) == TASKS
    parameters = full_size(chosen)
    assert parameters is not None
    to_come = matrix_bytes(chosen)  # of the many boundaries that have not been
    checkpoint = checkpoint_bytes(chosen, parameters)
    written = [size_of(path) for path in tmp_path.glob("epochs/*/checkpoints/*")]
    assert len(written) == 3
    assert (checkpoint - to_come) / 3 < max(written) < checkpoint
    snapshot = snapshot_bytes(chosen, parameters)
    published = [path.stat().st_size for path in tmp_path.glob("epochs/*/snapshots/*")]
    assert (snapshot - to_come) / 1.2 < max(published) < snapshot
    sets = [path.stat().st_size for path in tmp_path.glob("holdouts/*")]
    assert max(sets) < holdout_bytes(chosen) + HEADER_BYTES
    bound = bound_bytes(chosen, parameters) - 2 * LIMIT_BYTES
    assert used_bytes(tmp_path) < bound


def size_of(checkpoint: Path) -> int:
    return sum(file.stat().st_size for file in checkpoint.iterdir())


def test_without_holdouts_there_is_no_set() -> None:
    assert holdout_bytes(settings(holdout={"source": "off"})) == 0
    assert holdout_bytes(settings(holdout={"capacity": 10})) == 10 * (4 + 8)
