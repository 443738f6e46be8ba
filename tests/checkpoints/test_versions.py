"""Checkpoints and snapshots of a newer version: what goes on beside them, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load, save

from services.command import main
from services.doctor.directory import of_checkpoints
from services.predictor.follower import Follower
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SUFFIX, SnapshotManifest, SnapshotStore, encode
from si_stream.checkpoints.store import MANIFEST, CheckpointStore, label
from si_stream.errors import CorruptCheckpoint, NewerFormat
from tests.services.test_learner_host import MESSAGES, hosted, run
from tests.streams import memory_broker, settings

Members = dict[str, Any]

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a model that has learned all there is, and published it."""
    chosen = settings(tmp_path, learner={"shadow": "none"}, snapshots={"keep": 1})
    run(memory_broker(MESSAGES), chosen)
    return tmp_path


def newer_checkpoint(directory: Path, change: Callable[[Members], object]) -> Path:
    """One more, whose manifest a newer version might have written."""
    newest = next(CheckpointStore(directory).newest_first())
    members = json.loads((newest / MANIFEST).read_text())
    change(members)
    text = json.dumps(members).encode()
    path = newest.with_name(files.name(members["number"] + 1, files.sha256(text)))
    path.mkdir()
    for file in newest.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    (path / MANIFEST).write_bytes(text)
    return path


def newer_snapshot(directory: Path, change: Callable[[Members], object]) -> bytes:
    """What a newer version might have published behind the newest."""
    newest = SnapshotStore(directory).newest_path()
    assert newest is not None
    data = newest.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    members = json.loads(header["__metadata__"]["manifest"])
    change(members)
    changed = save(
        load(data) | {"news.of_weights": torch.ones(3)},
        {"manifest": json.dumps(members), "news": "of a newer version"},
    )
    number = 1 + files.next_number(newest.parent)
    files.commit_file(newest.parent, files.name(number, files.sha256(changed), SUFFIX), changed)
    return changed


@pytest.mark.parametrize(
    ("change", "news"),
    [
        (lambda m: m.update(format="si-stream-checkpoint/2"), "format si-stream-checkpoint/2"),
        (lambda m: m.update(news=1), "news"),
        (lambda m: m["ledger"].update(news=1), "ledger.news"),
        (lambda m: m["ledger"]["tasks"]["known"][0].update(news=1), "ledger.tasks.known.0.news"),
        (lambda m: m["measures"]["main"].update(news=1), "measures.main.news"),
        (lambda m: m["identity"]["model"].update(news=1), "identity.model.news"),
    ],
)
def test_a_checkpoint_with_what_is_not_known_here_is_not_taken_for_a_damaged_one(
    change: Callable[[Members], object], news: str, directory: Path
) -> None:
    path = newer_checkpoint(directory, change)
    before = sorted(directory.rglob("*"))
    chosen = settings(directory, learner={"shadow": "none"})
    with pytest.raises(NewerFormat) as raised, hosted(memory_broker(MESSAGES), chosen):
        pass
    said = str(raised.value)
    assert said.startswith(f"{path} was written by a newer version: it has {news}, and this one, ")
    assert "start the newer version again, or go back to a checkpoint from before it" in said
    assert "\n" not in said
    assert sorted(directory.rglob("*")) == before


def test_a_checkpoint_that_is_merely_wrong_counts_as_damaged(directory: Path) -> None:
    path = newer_checkpoint(directory, lambda m: m.update(epoch="?"))
    with pytest.raises(CorruptCheckpoint):
        CheckpointStore(directory).read(path)
    path = newer_checkpoint(directory, lambda m: m.update(format="another/2"))
    with pytest.raises(CorruptCheckpoint):
        CheckpointStore(directory).read(path)


def test_a_person_sees_which_checkpoints_a_newer_version_has_written(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = newer_checkpoint(directory, lambda m: m.update(news=1))
    assert main(["checkpoints", "--directory", str(directory)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == [label(path), "of", "a", "newer", "version"]
    [*_, finding] = of_checkpoints(directory)
    assert finding.state == "fail"
    assert f"{path} was written by a newer version: it has news" in finding.seen
    assert finding.advice.startswith("start the newer version again, or go back to a checkpoint")


def test_a_predictor_goes_on_beside_a_learner_that_tells_more(directory: Path) -> None:
    def tell_more(members: Members) -> None:
        for one in (members, members["tasks"][0], members["tracks"]["main"]):
            one["news"] = {"of": "a newer version"}
        members["step"] += 1

    follower = Follower(directory, interval_seconds=60)
    follower.look()
    before = follower.current()
    newer_snapshot(directory, tell_more)
    follower.look()
    after = follower.current()
    assert after.version == (before.version.epoch, before.version.step + 1)
    inputs = after.takes.zeros()
    for old, new in zip(before.tasks.values(), after.tasks.values(), strict=True):
        expected = before.probabilities(inputs, old)
        assert after.probabilities(inputs, new).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("change", "news"),
    [
        (lambda m: m.update(format="si-stream-snapshot/2"), "format si-stream-snapshot/2"),
        (lambda m: m["model"].update(news=1), "model.news"),
        (lambda m: m["model"]["network"].update(news=1), "model.network.news"),
    ],
)
def test_a_snapshot_whose_weights_may_mean_something_else_is_refused_and_the_one_before_stays(
    change: Callable[[Members], object],
    news: str,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    follower = Follower(directory, interval_seconds=60)
    follower.look()
    before = follower.current()
    newer_snapshot(directory, change)
    with caplog.at_level(logging.WARNING):
        follower.look()
    assert follower.current() is before
    assert follower.failures == 1
    [line] = caplog.messages
    assert f"was written by a newer version: it has {news}, and this one, si-stream " in line
    assert "start the predictor of that version; snapshot " in line


class Task589e8f1(BaseModel):
    name: str
    head: int
    classes: tuple[str, ...] | None
    labels: list[int] | None = None
    samples: int
    holdout_accuracy: float | None
    holdout_samples: int


class Snapshot589e8f1(BaseModel):
    """As predictors read it which do not pass over what they do not know."""

    model_config = ConfigDict(extra="forbid")

    format: str
    epoch: int
    step: int
    written_seconds: float
    model: Members
    tasks: list[Task589e8f1]
    active_task: str | None
    position: dict[int, tuple[int, int]]
    samples: int
    tracks: dict[str, Members]
    choice: Members | None = None


def test_predictors_from_before_members_were_passed_over_read_what_is_written_now(
    directory: Path,
) -> None:
    newest = SnapshotStore(directory).newest()
    assert newest is not None
    data = encode(newest)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header["__metadata__"]["manifest"]
    assert Snapshot589e8f1.model_validate_json(text).step == newest.manifest.step
    assert SnapshotManifest.model_validate_json(text) == newest.manifest
