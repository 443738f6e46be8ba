"""Rollback: weights and position together, or past what did the harm; predictors follow."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from services.checkpoint_list import print_checkpoints
from services.command import main
from services.doctor.directory import of_checkpoints
from services.learner_host import LearnerHost
from services.predictor.board import Board
from services.predictor.follower import Follower
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Broker, Envelope, Position
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.checkpoints.store import MANIFEST, CheckpointStore, Manifest, label
from si_stream.errors import Superseded
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from tests.checkpoints.test_versions import newer_checkpoint
from tests.services.learner_process import changed, journal
from tests.services.test_learner_host import hosted
from tests.streams import STREAM, contents, enveloped, learned, samples, settings

GOOD: list[Message | Envelope] = [samples(24, task="a"), Boundary("1")]
HARMFUL: list[Message | Envelope] = [samples(40, 500, task="b"), Boundary("2")]
MORE: list[Message | Envelope] = [samples(16, 100, task="c"), Boundary("3")]

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(tmp_path / "model", stream={"broker": f"embedded:{tmp_path}/broker.sqlite"})


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    """Two tasks, the second of which did harm."""
    broker = EmbeddedBroker(tmp_path / "broker.sqlite")
    broker.create_stream(STREAM)
    broker.append(STREAM, 0, enveloped([*GOOD, *HARMFUL]))
    return broker


def learn_what_there_is(broker: Broker, chosen: Settings) -> dict[str, str]:
    exits = chosen.model_copy(
        update={"learner": chosen.learner.model_copy(update={"exit_at_end": True})}
    )
    broker.append(STREAM, 0, enveloped([End(f"end {broker.watermarks(STREAM, 0).high}")]))
    with hosted(broker, exits) as (host, state):
        host.learn(state)
        host.finish(state)
        return contents(state)


def learn_up_to(step: int, broker: Broker, chosen: Settings) -> None:
    with hosted(broker, chosen) as (host, state):
        host.stopping = lambda: state.ledger.steps == step  # type: ignore[method-assign]
        host.learn(state)
        host.finish(state)


def rolled_back(chosen: Settings, *arguments: str) -> int:
    given = ["--directory", str(chosen.directory), "--broker", chosen.stream.broker]
    return main(["rollback", *given, *arguments])


def at_boundary(chosen: Settings, samples_learned: int) -> str:
    """The checkpoint of so many samples, by the name that people use."""
    store = CheckpointStore(chosen.directory)
    return next(
        label(path)
        for path in store.newest_first()
        if store.read(path).manifest.ledger.samples == samples_learned
    )


def newest(chosen: Settings) -> Manifest:
    checkpoint = CheckpointStore(chosen.directory).newest()
    assert checkpoint is not None
    return checkpoint.manifest


def test_a_learner_goes_on_as_if_what_came_after_had_never_been_learned(
    broker: Broker, chosen: Settings
) -> None:
    once = learn_what_there_is(broker, chosen)
    assert rolled_back(chosen, "--to", at_boundary(chosen, 24)) == 0
    assert newest(chosen).ledger.position == {0: Position(2)}
    again = learn_what_there_is(broker, chosen)
    same = {name for name in once if not name.startswith("ledger/")}
    assert {name: again[name] for name in same} == {name: once[name] for name in same}


def test_what_did_the_harm_can_be_passed_over(broker: Broker, chosen: Settings) -> None:
    learn_what_there_is(broker, chosen)
    name = at_boundary(chosen, 24)
    assert rolled_back(chosen, "--to", name, "--resume-at", "latest") == 0
    ledger = newest(chosen).ledger
    assert ledger.changes[-1]["changes"] == [
        f"rolled back to checkpoint {name}",
        "to go on at latest",
    ]
    broker.append(STREAM, 0, enveloped(MORE))
    again = learn_what_there_is(broker, chosen)
    never = contents(learned([*GOOD, *MORE, End("end")], chosen))
    tensors = {name for name in never if name.startswith(("main/", "measures/"))}
    assert {name: again[name] for name in tensors} == {name: never[name] for name in tensors}


def test_the_log_keeps_what_is_to_be_learned_again(broker: Broker, chosen: Settings) -> None:
    pruned = changed(chosen, "stream", retention="checkpoints")
    learn_what_there_is(broker, pruned)
    assert rolled_back(chosen, "--to", at_boundary(chosen, 24)) == 0
    for step in range(4, 8):
        learn_up_to(step, broker, pruned)
        assert broker.watermarks(STREAM, 0).low == 2
    assert newest(chosen).ledger.samples == 56


def test_past_a_checkpoint_of_a_newer_version_it_learns_saves_prunes_and_stops_as_ever(
    broker: Broker, chosen: Settings
) -> None:
    chosen = changed(chosen, "checkpoints", keep_at_boundaries=0)
    broker.append(STREAM, 0, enveloped([samples(3, 900, task="b", role="holdout")]))
    learn_what_there_is(broker, chosen)
    target = at_boundary(chosen, 24)
    newer = newer_checkpoint(chosen.directory, lambda manifest: manifest.update(news=1))
    needed = [chosen.directory / "holdouts" / name for name in named_in(newer)]
    assert rolled_back(chosen, "--to", target) == 0
    learn_up_to(4, broker, chosen)
    assert [*CheckpointStore(chosen.directory).newest_first()][2] == newer
    assert needed
    assert all(file.exists() for file in needed)
    [*_, finding] = of_checkpoints(chosen.directory)
    assert finding.state == "ok"
    assert f"; of a newer version, gone back from: {label(newer)}" in finding.seen
    learn_up_to(5, broker, chosen)
    assert not newer.exists()
    assert not any(file.exists() for file in needed)
    assert len([*CheckpointStore(chosen.directory).newest_first()]) == 3
    assert newest(chosen).ledger.steps == 5
    assert not journal(chosen, "WritingFailed")


def named_in(checkpoint: Path) -> list[str]:
    """The files of holdout sets that it needs."""
    return [*orjson.loads((checkpoint / MANIFEST).read_bytes())["holdouts"].values()]


def test_predictors_follow_at_once(broker: Broker, chosen: Settings) -> None:
    learn_what_there_is(broker, chosen)
    snapshots = SnapshotStore(chosen.directory)
    before = snapshots.newest()
    rolled_back(chosen, "--to", at_boundary(chosen, 24))
    after = snapshots.newest()
    assert before is not None
    assert after is not None
    assert after.manifest.version > before.manifest.version
    assert after.manifest.step < before.manifest.step
    assert [task.name for task in after.manifest.tasks] == ["a"]


def test_the_journal_tells_it_and_the_page_goes_back_at_once(
    broker: Broker, chosen: Settings
) -> None:
    learn_what_there_is(broker, chosen)
    board = Board(chosen.directory, Follower(chosen.directory, 1.0))
    told = orjson.loads(board.look()["boundaries"])
    assert [boundary["task"] for boundary in told] == ["a", "b"]
    rolled_back(chosen, "--to", at_boundary(chosen, 24))
    sections = board.look()
    assert [boundary["samples"] for boundary in orjson.loads(sections["boundaries"])] == [24]
    assert "rolled back to step" in orjson.loads(sections["events"])[-1]["text"]


def test_a_learner_that_still_runs_is_superseded(broker: Broker, chosen: Settings) -> None:
    learn_what_there_is(broker, chosen)
    with hosted(broker, chosen) as (host, state):
        rolled_back(chosen, "--to", at_boundary(chosen, 24))
        state.ledger.steps += 1
        with pytest.raises(Superseded, match="or it was rolled back"):
            host.finish(state)
    assert isinstance(host, LearnerHost)
    assert newest(chosen).ledger.samples == 24


def test_it_can_be_undone(
    broker: Broker, chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    learn_what_there_is(broker, chosen)
    before = newest(chosen)
    capsys.readouterr()
    rolled_back(chosen, "--to", at_boundary(chosen, 24))
    undo = capsys.readouterr().out.split("--to ")[1].split()[0]
    assert rolled_back(chosen, "--to", undo) == 0
    assert newest(chosen).ledger.samples == before.ledger.samples
    assert newest(chosen).state_sha256 == before.state_sha256


REFUSED = {
    "no such checkpoint": (["--to", "7/7"], 5, "there is no checkpoint '7/7'"),
    "no position": (["--resume-at", "soon"], 2, "--resume-at soon: not earliest, latest or"),
    "never written": (["--resume-at", "0:900"], 4, "offset 900 was never written"),
    "no such partition": (["--resume-at", "3:1"], 4, "had no partition 3 at checkpoint"),
    "another stream": (["--stream", "other"], 6, "was learned from another stream"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(
    reason: str, broker: Broker, chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    learn_what_there_is(broker, chosen)
    broker.create_stream("other")
    before = newest(chosen)
    arguments, code, complaint = REFUSED[reason]
    capsys.readouterr()
    target = [] if "--to" in arguments else ["--to", at_boundary(chosen, 24)]
    assert rolled_back(chosen, *target, *arguments) == code
    assert complaint in capsys.readouterr().err
    assert newest(chosen) == before


def test_a_position_that_the_stream_no_longer_holds_is_refused_and_another_is_taken(
    broker: Broker, chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    learn_what_there_is(broker, chosen)
    broker.prune(STREAM, 0, 3)
    name = at_boundary(chosen, 24)
    assert rolled_back(chosen, "--to", name) == 4
    assert "offset 2 is no longer kept, the lowest is 3. Say where" in capsys.readouterr().err
    assert rolled_back(chosen, "--to", name, "--resume-at", "earliest") == 0
    assert newest(chosen).ledger.position == {0: Position(3)}


def test_checkpoints_are_listed_with_their_names_and_damaged_ones_as_such(
    broker: Broker, chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    learn_what_there_is(broker, chosen)
    store = CheckpointStore(chosen.directory)
    paths = [*store.newest_first()]
    (paths[0] / "state.safetensors").write_bytes(b"")
    capsys.readouterr()
    print_checkpoints(chosen.directory)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [label(path) for path in paths]
    assert "damaged" in lines[1]
    assert "at a boundary, 1 learned" in lines[-1]
    assert "0:2" in lines[-1]


def test_without_any_the_list_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"there is no checkpoint in {tmp_path}\n"
