"""The chooser in a learner's snapshots: there as soon as a portrait is, made anew when due."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.choosing import Choosing
from services.command import main
from si_stream.boundaries.choice import USUAL_TEMPERATURE, Chooser, TaskChooser
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.checkpoints.snapshots import Snapshot, SnapshotStore
from si_stream.checkpoints.store import CheckpointStore, label
from si_stream.state import State
from tests.services.test_learner_host import run
from tests.streams import (
    DIGITS,
    STREAM,
    Listener,
    digits,
    digits_stream,
    learn,
    memory_broker,
    reloaded,
    settings,
)


def test_it_is_made_anew_at_a_boundary_and_not_between() -> None:
    choosing = Choosing()
    found: list[TaskChooser | None] = []

    class Watching(Listener):
        def between_batches(self, state: State) -> None:
            chooser = choosing.of(state).chooser()
            if not found or found[-1] is not chooser:
                found.append(chooser)

    learn(memory_broker(digits_stream()), settings(model=DIGITS), host=Watching())
    assert [len(chooser.tasks) if chooser else 0 for chooser in found] == [0, 1, 2]


def test_a_learner_that_resumes_has_the_same_one(tmp_path: Path) -> None:
    state, _ = learn(memory_broker(digits_stream()), settings(model=DIGITS))
    again = reloaded(state, CheckpointStore(tmp_path))
    one, other = Choosing().of(state).chooser(), Choosing().of(again).chooser()
    assert one is not None
    assert other is not None
    assert one.tasks == other.tasks == [0, 1, 2]
    assert one.chooser.fitted_samples == other.chooser.fitted_samples > 200
    assert one.chooser.temperature == other.chooser.temperature
    assert one.chooser.temperature != USUAL_TEMPERATURE


def test_without_holdouts_it_has_the_usual_temperature() -> None:
    chosen = settings(model=DIGITS, holdout={"source": "off"})
    made = Choosing().of(learn(memory_broker(digits_stream()), chosen)[0]).chooser()
    assert made is not None
    assert (made.chooser.temperature, made.chooser.fitted_samples) == (USUAL_TEMPERATURE, 0)


@pytest.mark.usefixtures("bare_environment")
def test_what_a_learner_publishes_chooses_also_once_it_was_rolled_back(tmp_path: Path) -> None:
    location = f"embedded:{tmp_path}/broker.sqlite"
    chosen = settings(
        tmp_path / "model",
        model=DIGITS,
        stream={"broker": location},
        learner={"metrics_port": 0, "exit_at_end": True},
    )
    with EmbeddedBroker(tmp_path / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, digits_stream())
        state = run(broker, chosen)
    snapshots, made = SnapshotStore(chosen.directory), Choosing().of(state).chooser()
    assert made is not None
    published = snapshots.newest()
    assert published is not None
    assert_chooses_as(made.chooser, published)

    back = CheckpointStore(chosen.directory)
    second = next(
        label(path)
        for path in back.newest_first()
        if len(back.read(path).manifest.ledger.tasks.known) == 2
    )
    arguments = ["--directory", str(chosen.directory), "--broker", location]
    assert main(["rollback", *arguments, "--to", second]) == 0
    published = snapshots.newest()
    assert published is not None
    assert published.manifest.epoch == 2
    assert [*published.portraits] == [0, 1]
    assert published.manifest.choice is not None
    assert published.manifest.choice.fitted_samples > 0


def assert_chooses_as(chooser: Chooser, snapshot: Snapshot) -> None:
    choice, portraits = snapshot.manifest.choice, snapshot.portraits
    assert choice is not None
    assert [*portraits] == [0, 1, 2]
    assert choice.temperature == chooser.temperature
    assert choice.fitted_samples == chooser.fitted_samples
    inputs = digits().tasks[0].test.images
    again = Chooser((8, 8), list(portraits.values()), choice.temperature)
    assert torch.equal(again.scores(inputs), chooser.scores(inputs))
