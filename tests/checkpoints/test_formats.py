"""Formats that were once written are read for ever: a model may be years old.

`format-1/` was written by `write(directory)` at the commit that added it, and is never written
again; another format gets a directory of its own.
"""

from __future__ import annotations

import json
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
import torch

from services.predictor.served import Served
from si_stream.brokers.interface import Envelope
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import UnknownTask
from si_stream.learning.frozen import FrozenNetwork
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from si_stream.state import State
from tests.checkpoints.test_snapshots import snapshot_from
from tests.streams import (
    Listener,
    contents,
    learn,
    loaded,
    memory_broker,
    samples,
    settings,
    written,
)

FORMAT_1 = Path(__file__).parent / "format-1"
STREAM_ID = "5f0c1d2e"
MESSAGES: list[Message | Envelope] = [
    samples(3, 900, task="a", role="holdout"),
    samples(20, task="a", bad=[4]),
    Boundary("1"),
    samples(3, 950, task="b", role="holdout"),
    samples(30, 300, task="b", classes=("x", "y", "z")),
]


def chosen(directory: Path) -> Settings:
    return settings(directory, learner={"shadow": "none"})


def write(directory: Path) -> None:
    state = State(chosen(directory), STREAM_ID)
    learn(memory_broker(MESSAGES), chosen(directory), state=state, host=Listener(stop_after=5))
    written(state, CheckpointStore(directory))
    SnapshotStore(directory).publish(snapshot_from(state, 1), keep=1)
    (directory / "contents.json").write_text(json.dumps(contents(state), indent=1) + "\n")


def state_of_format_1() -> State:
    store = CheckpointStore(FORMAT_1)
    return loaded(store, next(store.newest_first()), chosen(FORMAT_1))


def test_a_checkpoint_of_the_first_format_gives_back_its_state() -> None:
    expected = json.loads((FORMAT_1 / "contents.json").read_text())
    assert_holds(told(contents(state_of_format_1())), told(expected))


def told(held: dict[str, str]) -> dict[str, Any]:
    return {name: read(name.partition("/")[0], value) for name, value in held.items()}


def read(part: str, value: str) -> Any:
    match part:
        case "measures":
            return json.loads(value)
        case "ledger":
            return literal_eval(value)
    return value


def assert_holds(found: Any, expected: Any) -> None:
    """All that is expected is there; what has become known since may stand beside it."""
    if not isinstance(expected, dict):
        assert found == expected
        return
    for name, value in expected.items():
        assert_holds(found[name], value)


def test_learning_goes_on_from_the_first_format() -> None:
    state = state_of_format_1()
    learn(memory_broker([*MESSAGES, samples(10, 400), End("2")]), state.settings, state=state)
    assert (state.ledger.samples, state.ledger.consolidations) == (59, 2)


def test_a_task_that_began_before_its_first_samples_were_counted_has_no_plasticity() -> None:
    state = state_of_format_1()
    c, a = samples(1000, 400, task="c"), samples(1000, task="a")
    broker = memory_broker([*MESSAGES, End("2"), c, Boundary("3"), a, End("4")])
    for _ in range(2):  # up to each end
        learn(broker, state.settings, state=state)
    ended = state.measures()["main"].plasticity.tasks
    assert [*ended] == ["b", "c"]
    assert ended["b"].early is None
    assert ended["c"].early is not None


def test_of_a_checkpoint_without_the_best_answers_forgetting_has_the_unpaired_error() -> None:
    state = state_of_format_1()
    assert state.measures()["main"].best == {}
    learn(memory_broker([*MESSAGES, End("2")]), state.settings, state=state)
    main = state.measures()["main"]
    best, live = main.accuracy.rows[0][0], main.live["a"]
    assert best is not None
    assert live.forgetting == best - live.accuracy
    variances = [p * (1 - p) / 3 for p in (best, live.accuracy)]
    assert live.forgetting_standard_error == pytest.approx(sum(variances) ** 0.5)
    assert 1 in main.best


def test_a_snapshot_of_the_first_format_predicts_what_its_learner_does() -> None:
    snapshot = SnapshotStore(FORMAT_1).newest()
    assert snapshot is not None
    assert [task.name for task in snapshot.manifest.tasks] == ["a", "b"]
    network = FrozenNetwork(snapshot.manifest.model, snapshot.weights)
    inputs = samples(5).inputs
    for head in (0, 1):
        logits = state_of_format_1().main.learner.predict(torch.from_numpy(inputs), head)
        expected = torch.softmax(logits, 1).numpy()
        assert network.probabilities(inputs, head).tobytes() == expected.tobytes()


def test_a_snapshot_of_the_first_format_needs_the_task_named() -> None:
    snapshot = SnapshotStore(FORMAT_1).newest()
    assert snapshot is not None
    assert (snapshot.manifest.choice, snapshot.portraits) == (None, {})
    served = Served(snapshot)
    assert served.task("a") == snapshot.manifest.tasks[0]
    with pytest.raises(UnknownTask, match="no task is named"):
        served.task(None)
