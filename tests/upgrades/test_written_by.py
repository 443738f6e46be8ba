"""What earlier versions have left is read for ever, by all that reads: a model may be years old.

Each archive in `written-by` was made by the programs of the commit that it is named after, with
`python -m tests.upgrades.make COMMIT`, and is never made anew.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from services.checkpoint_list import print_checkpoints
from services.command import main
from services.journal_reading import JournalReader
from services.learner_status import read_status
from services.predictor.served import Served
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.checkpoints.copies import arithmetic
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.checkpoints.store import CheckpointStore, label
from si_stream.errors import IdentityMismatch
from si_stream.learning.frozen import FrozenNetwork, weights_of
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Message, Samples, SampleSchema
from si_stream.settings import Settings, load_settings
from si_stream.state import State
from tests.services.test_learner_host import hosted
from tests.streams import loaded
from tests.upgrades.__main__ import AS_BEFORE, COMMITS
from tests.upgrades.make import WRITTEN_BY, kinds_of
from tests.upgrades.stream import HALF, SETTINGS, STREAM, Kind, messages, samples, send
from tests.upgrades.versions import in_directory

WITHOUT_PORTRAITS = {"9aa3723", "ae63a33"}
IN_SINGLE_PRECISION = {"589e8f1", "9e718f5"}
"""They added up the sketches of portraits so."""

pytestmark = pytest.mark.usefixtures("bare_environment")


class Left(NamedTuple):
    commit: str
    kind: Kind
    directory: Path

    def settings(self, **more: str) -> Settings:
        as_before = AS_BEFORE.get((self.commit, self.kind), {})
        given = in_directory(self.directory) | SETTINGS[self.kind] | as_before | more
        return load_settings(overrides={"directory": str(self.directory), **given})


@pytest.fixture(
    params=[(commit, kind) for commit in COMMITS for kind in kinds_of(commit)],
    ids="-".join,
)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    commit, kind = request.param
    with tarfile.open(WRITTEN_BY / f"{commit}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Left(commit, kind, tmp_path / kind)


def log_of(left: Left) -> EmbeddedBroker:
    return EmbeddedBroker(left.directory / "broker.sqlite")


def learned_to_the_end(chosen: Settings) -> State:
    with (
        EmbeddedBroker(Path(chosen.stream.broker.partition(":")[2])) as broker,
        hosted(broker, chosen) as (host, state),
    ):
        while host.learn(state):
            pass
        host.finish(state)
        return state


def exiting(left: Left, **more: str) -> Settings:
    return left.settings(**{"learner.exit_at_end": "true"} | more)


def send_the_rest(left: Left) -> None:
    send(left.kind, f"{left.directory}/broker.sqlite", HALF[left.kind], len(messages(left.kind)))


def test_the_log_gives_back_the_messages_in_both_codecs(left: Left) -> None:
    schema, found, codecs = SampleSchema((8,), "uint8", 4), [], set()
    with log_of(left) as log, log.reader(STREAM, {0: 0}) as reader:
        while records := reader.poll(0):
            found += [decode(one.headers, one.value, schema, 2**20) for one in records]
            codecs |= {one.headers["content-type"] for one in records}
    sent = messages(left.kind)[: HALF[left.kind]]
    assert [told(message) for message in found] == [told(message) for message in sent]
    assert codecs == {"application/json", "application/vnd.apache.arrow.stream"}


def told(message: Message) -> object:
    if isinstance(message, Samples):
        rows = (message.inputs.tolist(), message.labels.tolist())
        return (*rows, message.task, message.role, message.classes)
    return message


def test_a_learner_goes_on_and_learns_what_one_of_this_version_learns_of_it_all(
    left: Left, tmp_path: Path
) -> None:
    before = CheckpointStore(left.directory).newest()
    assert before is not None
    send_the_rest(left)
    upgraded = learned_to_the_end(exiting(left))
    fresh = learned_to_the_end(exiting(left, directory=str(tmp_path / "fresh")))
    assert before.manifest.ledger.samples < upgraded.ledger.samples == fresh.ledger.samples
    assert upgraded.ledger == fresh.ledger
    assert upgraded.measures()["main"].accuracy == fresh.measures()["main"].accuracy
    # The first half of its bits are those of the machine that made the archive.
    is_same_machine = before.manifest.arithmetic == arithmetic(upgraded)
    found, expected = upgraded.tensors(), fresh.tensors()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if name.startswith("portraits/0/") and left.commit in WITHOUT_PORTRAITS:
            continue  # they were drawn from the upgrade on
        is_rounded = name.startswith("portraits/") and left.commit in IN_SINGLE_PRECISION
        if is_same_machine and not is_rounded:
            assert torch.equal(found[name], tensor), name
        else:
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)


def test_settings_of_a_detector_that_is_off_are_no_change(left: Left) -> None:
    if left.kind == "detected":
        with pytest.raises(IdentityMismatch, match=r"min_evidence_nats: 8\.5, not 8\.0"):
            learned_to_the_end(exiting(left, **{"detection.min_evidence_nats": "8.5"}))
    else:
        send_the_rest(left)
        learned_to_the_end(exiting(left, **{"detection.min_evidence_nats": "8.5"}))


def test_its_snapshot_answers_as_its_learner_would(left: Left) -> None:
    snapshot = SnapshotStore(left.directory).newest()
    assert snapshot is not None
    served, inputs = Served(snapshot), samples(20, 5000).inputs
    assert len(served.tasks) == 2
    for task in served.tasks.values():
        assert served.probabilities(inputs, task).shape == (20, 4)
    store = CheckpointStore(left.directory)
    state = loaded(store, next(store.newest_first()), left.settings())
    if left.kind == "told":  # else the checkpoint is of an older copy
        network = FrozenNetwork(state.settings.model, weights_of(state.main.learner.state()))
        for task in served.tasks.values():
            expected = network.probabilities(inputs, task.head)
            assert served.probabilities(inputs, task).tobytes() == expected.tobytes()


def test_its_journal_and_status_are_read_whole(left: Left) -> None:
    reading = JournalReader(left.directory).read()
    lines = (left.directory / "events.jsonl").read_text().splitlines()
    assert [type(one.event).__name__ for one in reading.told] == [
        json.loads(line)["event"] for line in lines
    ]
    if (left.directory / "status.json").exists():
        status = read_status(left.directory)
        assert status is not None
        assert status.status == "stopped"


def test_its_checkpoint_is_listed_and_can_be_gone_back_to(
    left: Left, capsys: pytest.CaptureFixture[str]
) -> None:
    print_checkpoints(left.directory)
    [path] = CheckpointStore(left.directory).newest_first()
    assert label(path) in capsys.readouterr().out
    log = f"embedded:{left.directory}/broker.sqlite"
    words = ["--directory", str(left.directory), "--broker", log, "--to", label(path)]
    assert main(["rollback", *words]) == 0
    newest = CheckpointStore(left.directory).newest()
    assert newest is not None
    assert newest.manifest.epoch == 2
