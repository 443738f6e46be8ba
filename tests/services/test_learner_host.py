"""The learner's host: what it resumes, refuses, saves and tells, around the loop in one process."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry

from services.learner_host import LearnerHost
from services.learner_status import LearnerStatus, read_status
from services.resuming import changes
from si_stream.brokers.interface import Broker, Envelope, Position, Watermarks
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import BrokerError, IdentityMismatch, Superseded
from si_stream.events import Decision
from si_stream.learning.synaptic_intelligence import SynapticIntelligence
from si_stream.loop import learn_stream
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from si_stream.state import State
from tests.streams import STREAM, contents, enveloped, learn, memory_broker, samples, settings

LIMIT_SECONDS = 30
MESSAGES: list[Message | Envelope] = [
    samples(3, 900, task="a", role="holdout"),
    samples(20, task="a"),
    Boundary("1"),
    samples(5, 300, task="b"),
    End("2"),
]


@contextmanager
def hosted(broker: Broker, chosen: Settings) -> Iterator[tuple[LearnerHost, State]]:
    """A host that has resumed, and its state."""
    state = State(chosen, broker.stream_id(STREAM))
    with closing(LearnerHost(chosen, broker, CollectorRegistry(), Event())) as host:
        host.resume(state)
        yield host, state


def run(broker: Broker, chosen: Settings) -> State:
    """Learn what there is to the end, as the process does."""
    with hosted(broker, chosen) as (host, state):
        offsets = {k: position.offset for k, position in state.ledger.position.items()}
        with broker.reader(STREAM, offsets) as reader:
            learn_stream(reader, state, host, until_end=True)
        host.finish(state)
    return state


@pytest.fixture
def broker() -> Broker:
    return memory_broker(MESSAGES)


def test_the_service_learns_what_the_bare_loop_learns(broker: Broker, tmp_path: Path) -> None:
    chosen = settings(tmp_path, learner={"shadow": "none"})
    assert contents(run(broker, chosen)) == contents(learn(broker, chosen)[0])


def test_it_goes_on_from_the_newest_checkpoint(broker: Broker, tmp_path: Path) -> None:
    before = contents(run(broker, settings(tmp_path)))
    with hosted(broker, settings(tmp_path)) as (host, state):
        assert contents(state) == before
        assert host.epoch == 2
        assert host.publishing.wait(LIMIT_SECONDS)
        newest = host.publishing.snapshots.newest()
    assert newest is not None
    assert newest.manifest.version == (2, 4)


def test_it_goes_on_from_the_one_before_where_the_newest_is_damaged(
    broker: Broker, tmp_path: Path
) -> None:
    whole = contents(run(broker, settings(tmp_path)))
    newest = max((tmp_path / "epochs/000001/checkpoints").iterdir())
    (newest / "state.safetensors").write_bytes(b"")
    with hosted(broker, settings(tmp_path)) as (host, state):
        assert 0 < state.ledger.steps < 4
        assert host.telemetry.refused._value.get() == 1
    assert contents(run(broker, settings(tmp_path))) == whole


@pytest.mark.parametrize(
    ("groups", "difference"),
    [
        ({"model": {"batch_size": 9}}, "model.batch_size: 9, not 8"),
        ({"consolidator": {"kind": "none"}}, "consolidator: 'none', not 'synaptic-intelligence'"),
        ({"learner": {"shadow": "none"}}, "shadow: 'none', not 'off'"),
    ],
)
@pytest.mark.parametrize("accepted", [False, True])
def test_another_model_is_refused_with_the_difference_and_nothing_is_written(
    groups: dict[str, Any], difference: str, accepted: bool, broker: Broker, tmp_path: Path
) -> None:
    run(broker, settings(tmp_path))
    learner = groups.get("learner", {}) | {"accept_changes": accepted}
    chosen = settings(tmp_path, **groups | {"learner": learner})
    with pytest.raises(IdentityMismatch) as raised, hosted(broker, chosen):
        pass
    assert f"is of another model ({difference}); start with its settings" in str(raised.value)
    assert not (tmp_path / "epochs/000002").exists()


def test_another_stream_is_refused(broker: Broker, tmp_path: Path) -> None:
    run(broker, settings(tmp_path))
    other = memory_broker(MESSAGES)
    with pytest.raises(IdentityMismatch, match="stream_id: "), hosted(other, settings(tmp_path)):
        pass


CHANGED: dict[str, Any] = {
    "optimiser": {"learning_rate": 0.5},
    "consolidator": {"strength": 2, "damping": 0.1, "decay": 0.25},
}
CHANGES = [
    "optimiser.learning_rate: 0.5, not 0.001",
    "consolidator.strength: 2.0, not 1.0",
    "consolidator.damping: 0.1, not 0.001",
    "consolidator.decay: 0.25, not 0.0",
]


def test_other_learning_settings_are_refused_with_the_difference(
    broker: Broker, tmp_path: Path
) -> None:
    run(broker, settings(tmp_path))
    with pytest.raises(IdentityMismatch) as raised, hosted(broker, settings(tmp_path, **CHANGED)):
        pass
    assert f"({'; '.join(CHANGES)}); start with them, or change them on purpose" in str(
        raised.value
    )


def test_other_learning_settings_are_accepted_on_purpose_and_recorded_with_the_position(
    broker: Broker, tmp_path: Path
) -> None:
    run(broker, settings(tmp_path))
    accepting = settings(tmp_path, **CHANGED, learner={"accept_changes": True})
    state = run(broker, accepting)
    assert state.ledger.changes == [{"position": {0: (5, 0)}, "changes": CHANGES}]
    consolidator = state.main.learner.consolidator
    assert isinstance(consolidator, SynapticIntelligence)
    assert (consolidator.strength, consolidator.decay) == (2, 0.25)
    again = run(broker, settings(tmp_path, **CHANGED))
    assert len(again.ledger.changes) == 1
    assert again.ledger.changes[0]["changes"] == CHANGES


def test_a_checkpoint_from_before_a_setting_tells_of_no_change(
    broker: Broker, tmp_path: Path
) -> None:
    run(broker, settings(tmp_path))
    state = run(broker, settings(tmp_path))
    newest = CheckpointStore(tmp_path).newest()
    assert newest is not None
    learning = newest.manifest.learning
    del learning["detection"], learning["consolidator"]["decay"]
    del learning["consolidator"]["fisher_samples"], learning["consolidator"]["trunk_rate"]
    assert changes(newest.manifest, state.settings) == []
    decaying = settings(tmp_path, consolidator={"decay": 0.1})
    assert changes(newest.manifest, decaying) == ["consolidator.decay: 0.1, not 0.0"]


def test_another_arithmetic_is_warned_of_by_name(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(broker, settings(tmp_path))
    with hosted(broker, settings(tmp_path, compute={"device": "cpu", "kernel": "plain"})):
        pass
    [line] = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert line.startswith("the checkpoint was learned with kernel numba, this is plain: ")


def test_a_network_that_is_no_longer_what_it_was_is_said_in_one_line(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_trunk.py").write_text(
        "import os, torch\n"
        "def build():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(4, int(os.environ['UNITS'])))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("UNITS", "5")
    own = {"kind": "module", "module": "own_trunk:build"}
    chosen = settings(tmp_path, model={"network": own})
    run(broker, chosen)
    monkeypatch.setenv("UNITS", "6")
    with pytest.raises(IdentityMismatch, match="does not fit this network") as raised:
        run(broker, chosen)
    assert "\n" not in str(raised.value)


def test_a_learner_that_was_taken_over_is_told(broker: Broker, tmp_path: Path) -> None:
    with hosted(broker, settings(tmp_path)) as (first, state):
        run(broker, settings(tmp_path))
        with pytest.raises(Superseded, match="taken over"):
            first.finish(state)
    assert CheckpointStore(tmp_path).newest() is not None


def files_in(directory: Path) -> set[Path]:
    return {path for path in (directory / "epochs").rglob("*") if path.is_file()}


def test_an_idle_stream_writes_nothing_and_what_is_saved_counts_as_fresh(
    broker: Broker, tmp_path: Path
) -> None:
    often = {"interval_seconds": 1e-9}
    with hosted(broker, settings(tmp_path, checkpoints=often, snapshots=often)) as (host, state):
        with broker.reader(STREAM, {}) as reader:
            learn_stream(reader, state, host, until_end=True)
        host.finish(state)
        before = files_in(tmp_path)
        host.telemetry._last.clear()
        for _ in range(5):
            time.sleep(0.001)
            host.between_batches(state)
        host.finish(state)
        assert files_in(tmp_path) == before
        assert host.telemetry._last.keys() == {"checkpoint_age_seconds", "snapshot_age_seconds"}


@pytest.mark.parametrize("detector", ["off", "adwin"])
def test_restarts_of_an_idle_stream_write_no_checkpoint_until_something_comes(
    detector: str, broker: Broker, tmp_path: Path
) -> None:
    often = {"interval_seconds": 1e-9}
    exits = {"exit_at_end": True}
    chosen = settings(tmp_path, checkpoints=often, learner=exits, detection={"kind": detector})
    before: list[Path] = []
    for start in range(9):
        with hosted(broker, chosen) as (host, state):
            host.learn(state)
            host.between_batches(state)
            assert host.finish(state).samples == 25
            assert host.checkpointing.wait(LIMIT_SECONDS)
            assert "checkpoint_age_seconds" in host.telemetry._last
        found = [*CheckpointStore(tmp_path).newest_first()]
        assert found == before or not start
        before = found
    broker.append(STREAM, 0, enveloped([samples(1, bad=[0]), End("3")]))
    with hosted(broker, chosen) as (host, state):
        host.learn(state)
        host.finish(state)
    assert next(CheckpointStore(tmp_path).newest_first()) > before[0]


def test_a_restart_writes_a_whole_checkpoint_where_the_newest_is_damaged(
    broker: Broker, tmp_path: Path
) -> None:
    whole = contents(run(broker, settings(tmp_path)))
    broker.append(STREAM, 0, enveloped([End("3")]))
    run(broker, settings(tmp_path))
    damaged = next(CheckpointStore(tmp_path).newest_first())
    (damaged / "state.safetensors").write_bytes(b"")
    with hosted(broker, settings(tmp_path)) as (host, state):
        assert contents(state) == whole
        host.finish(state)
    assert next(CheckpointStore(tmp_path).newest_first()) > damaged
    assert CheckpointStore(tmp_path).newest() is not None


def test_with_detection_what_no_checkpoint_holds_does_not_count_as_saved(
    broker: Broker, tmp_path: Path
) -> None:
    often = {"interval_seconds": 1e-9}
    chosen = settings(tmp_path, checkpoints=often, detection={"kind": "adwin"})
    with hosted(broker, chosen) as (host, state):
        for stop, saved, is_current in ((2, 0, False), (1000, 25, True)):
            host.stopping = lambda stop=stop: state.ledger.steps >= stop  # type: ignore[method-assign, misc]
            offsets = {k: position.offset for k, position in state.ledger.position.items()}
            with broker.reader(STREAM, offsets) as reader:
                learn_stream(reader, state, host, host.checkpointing.rewinder, until_end=True)
            assert host.finish(state).samples == saved
            host.telemetry._last.clear()
            for _ in range(5):
                host.between_batches(state)
            host.finish(state)
            assert ("checkpoint_age_seconds" in host.telemetry._last) is is_current
        assert state.ledger.samples == 25


def test_the_clock_decides_when_it_is_saved_and_no_bit_of_what(
    broker: Broker, tmp_path: Path
) -> None:
    often = {"interval_seconds": 1e-9}
    busy = run(broker, settings(tmp_path / "busy", checkpoints=often, snapshots=often))
    calm = run(broker, settings(tmp_path / "calm"))
    assert contents(busy) == contents(calm)


def test_a_flood_of_bad_rows_is_one_line_of_the_log_and_all_in_the_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = memory_broker([samples(500, task="a", bad=range(1, 500)), End("1")])
    run(bad, settings(tmp_path))
    lines = [one for one in caplog.messages if one.startswith("rejected label_out_of_range")]
    assert 1 <= len(lines) < 10
    assert (tmp_path / "events.jsonl").read_text().count('"Rejected"') == 499


def test_the_lag_is_what_the_stream_holds_beyond_the_position(
    broker: Broker, tmp_path: Path
) -> None:
    with hosted(broker, settings(tmp_path)) as (host, state):
        host.between_batches(state)
        assert host.measuring.wait(LIMIT_SECONDS)
        assert host.telemetry.lag.labels(0)._value.get() == 5
        state.ledger.position[0] = Position(3, 2)
        host._due.clear()
        host.between_batches(state)
        assert host.measuring.wait(LIMIT_SECONDS)
        assert host.telemetry.lag.labels(0)._value.get() == 2


def test_a_broker_that_does_not_answer_is_away_and_the_lag_is_the_last_known(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = broker.watermarks
    asked, back = Event(), Event()

    def hangs(*_: object) -> Watermarks:
        asked.set()
        assert back.wait(LIMIT_SECONDS)
        raise BrokerError("cannot be reached")

    with hosted(broker, settings(tmp_path)) as (host, state):

        def ask() -> None:
            host._due.clear()
            host.between_batches(state)

        def shown() -> tuple[bool, float]:
            [away] = host.telemetry.away.collect()
            return away.samples[0].value > 0, host.telemetry.lag.labels(0)._value.get()

        ask()
        assert host.measuring.wait(LIMIT_SECONDS)
        assert shown() == (False, 5)
        monkeypatch.setattr(broker, "watermarks", hangs)
        state.ledger.position[0] = Position(3, 2)
        ask()
        assert asked.wait(LIMIT_SECONDS)
        assert shown() == (True, 5)  # as long as it hangs
        back.set()
        assert host.measuring.wait(LIMIT_SECONDS)
        assert shown() == (True, 5)
        assert host.vital_signs.lag == {0: 5}
        monkeypatch.setattr(broker, "watermarks", answer)
        ask()
        assert host.measuring.wait(LIMIT_SECONDS)
        assert shown() == (False, 2)


def test_alarms_are_counted_from_zero_on_where_changes_are_detected(
    broker: Broker, tmp_path: Path
) -> None:
    """One that first appears as 1 has not risen, to who asks Prometheus for its increase."""
    watched = {"kind": "adwin", "signals": ("errors", "losses")}
    with hosted(broker, settings(tmp_path / "on", detection=watched)) as (host, _):
        shown = {
            (one.labels["signal"], one.labels["decision"]): one.value
            for family in host.telemetry.alarms.collect()
            for one in family.samples
            if one.name.endswith("_total")
        }
        assert shown == dict.fromkeys(product(("errors", "losses"), get_args(Decision)), 0)
    with hosted(broker, settings(tmp_path / "off")) as (host, _):
        assert not host.telemetry.alarms._metrics


def test_a_stream_of_several_partitions_is_learned_and_its_partitions_are_watched(
    tmp_path: Path,
) -> None:
    broker = memory_broker(MESSAGES, [samples(9, 40, task="a"), Boundary("1"), End("2")])
    exits = settings(tmp_path, learner={"exit_at_end": True})
    with hosted(broker, exits) as (host, state):
        assert host.learn(state) is False
        assert (state.ledger.samples, state.ledger.consolidations) == (34, 2)
        assert host.telemetry.awaited._metrics.keys() == {("0",), ("1",)}


def test_health_says_which_partition_is_awaited_and_that_it_came(tmp_path: Path) -> None:
    broker = memory_broker([samples(9, task="a"), samples(9, 20), Boundary("1")], [])
    waiting: list[LearnerStatus] = []
    with hosted(broker, settings(tmp_path)) as (host, state):

        def stopping() -> bool:
            if host.awaited.waiting() is not None and not waiting:
                waiting.append(host.health(state))
                broker.append(STREAM, 1, enveloped([samples(9, 40, task="a"), Boundary("1")]))
            return state.ledger.consolidations == 1

        host.stopping = stopping  # type: ignore[method-assign]
        host.learn(state)
        after = host.health(state)
    [health] = waiting
    assert (health.status, after.status) == ("waiting", "learning")
    assert health.awaited_partition is not None
    assert health.awaited_partition.partition == 1
    assert health.awaited_partition.seconds >= 0
    assert after.awaited_partition is None


def test_its_status_says_what_it_is_where_it_stands_and_what_is_saved(
    broker: Broker, tmp_path: Path
) -> None:
    chosen = settings(tmp_path, learner={"shadow": "none", "exit_at_end": True})
    with hosted(broker, chosen) as (host, state):
        host.vital_signs.metrics_address = "http://127.0.0.1:9101/metrics"
        before = host.health(state)
        host.learn(state)
        host.finish(state)
        now = host.health(state)
    assert (before.status, before.step, before.checkpoint, before.snapshot) == (
        *("learning", 0, None, None),
    )
    assert (now.status, now.step, now.samples, now.active_task) == ("stopped", 4, 25, None)
    assert (now.consolidator, now.shadow, now.detector) == ("synaptic-intelligence", "none", "off")
    assert (now.model, now.network, now.device) == ("si-stream", "mlp", "cpu")
    assert now.position == {0: (5, 0)}
    assert now.lag_messages.keys() == {0}
    assert now.checkpoint is not None
    assert (now.checkpoint.step, now.checkpoint.samples) == (4, 25)
    assert now.checkpoint.bytes == sum(
        path.stat().st_size for path in next(CheckpointStore(tmp_path).newest_first()).iterdir()
    )
    assert now.snapshot is not None
    assert now.snapshot.step == 4
    assert now.last_batch_seconds is not None
    written = read_status(tmp_path)
    assert written is not None
    of_the_moment = ("written_seconds", "steps_per_second", "samples_per_second")
    then = {name: getattr(written, name) for name in of_the_moment}
    assert written == now.model_copy(update=then)


def test_a_learner_that_goes_on_names_the_checkpoint_that_it_goes_on_from(
    broker: Broker, tmp_path: Path
) -> None:
    run(broker, settings(tmp_path))
    with hosted(broker, settings(tmp_path)) as (host, state):
        status = host.health(state)
    assert (status.epoch, status.step) == (2, 4)
    assert status.checkpoint is not None
    assert (status.checkpoint.step, status.checkpoint.duration_seconds) == (4, None)


def test_with_more_partitions_at_a_boundary_it_learns_again_and_then_all(tmp_path: Path) -> None:
    broker = memory_broker(MESSAGES)
    exits = settings(tmp_path, learner={"exit_at_end": True})
    with hosted(broker, exits) as (host, state):
        host.checkpoint = lambda _: broker.add_partitions(STREAM, 2)  # type: ignore[assignment, method-assign]
        assert host.learn(state) is True
        broker.append(STREAM, 1, enveloped([samples(9, 40, task="b"), End("2")]))
        assert host.learn(state) is False
        assert state.ledger.samples == 34
