"""Checkpoints beside learning: what is written is the state of one moment, and a disk or a broker
that fails costs nothing but the newest checkpoint."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest

from services.learner_host import LearnerHost
from si_stream import events
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Broker, Envelope, Position, Watermarks
from si_stream.brokers.memory import MemoryBroker
from si_stream.checkpoints import files
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import read_letters
from si_stream.errors import BrokerError, CheckpointError
from si_stream.loop import learn_stream
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from si_stream.state import State
from tests.services.test_learner_host import LIMIT_SECONDS, hosted
from tests.streams import STREAM, contents, enveloped, filled, loaded, memory_broker, samples
from tests.streams import settings as made

MESSAGES: list[Message | Envelope] = [
    samples(3, 900, task="a", role="holdout"),
    samples(200, task="a", bad=[7, 50]),
    Boundary("1"),
    samples(100, 300, task="b"),
    End("2"),
]


def settings(directory: Path, **groups: object) -> Settings:
    return made(directory, checkpoints={"interval_seconds": 1e9}, **groups)


def learn(host: LearnerHost, state: State) -> None:
    with host.broker.reader(STREAM, {0: state.ledger.position[0].offset}) as reader:
        learn_stream(reader, state, host, until_end=True)


def saved(chosen: Settings) -> dict[str, str]:
    store = CheckpointStore(chosen.directory)
    assert store.newest() is not None
    return without_mark(loaded(store, next(store.newest_first()), chosen))


def without_mark(state: State) -> dict[str, str]:
    """Its contents, but for the mark of the letters, known when a checkpoint is written."""
    held = contents(state)
    del held["ledger/dead_letters"]
    return held


def test_a_checkpoint_is_the_state_of_its_moment_whatever_is_learned_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, gate = settings(tmp_path, learner={"shadow": "none"}), Event()
    broker = memory_broker(MESSAGES[:2])
    with hosted(broker, chosen) as (host, state):
        state.ledger.position = {0: Position()}
        host.stopping = lambda: state.ledger.steps == 10  # type: ignore[method-assign]
        learn(host, state)
        then = without_mark(state)
        flush = host.dead_letters.flush
        monkeypatch.setattr(
            host.dead_letters, "flush", lambda sealed: (gate.wait(LIMIT_SECONDS), flush(sealed))[1]
        )
        host.checkpointing.begin(state, host.epoch)
        host.stopping = lambda: state.ledger.steps == 20  # type: ignore[method-assign]
        learn(host, state)
        assert without_mark(state) != then
        gate.set()
        assert host.checkpointing.wait(LIMIT_SECONDS)
    assert saved(chosen) == then


def fails_at(call: int, error: int, of: Callable[..., object]) -> Callable[..., object]:
    """The system call, which fails from the n-th on."""
    calls = iter(range(10**9))

    def failing(*arguments: object, **named: object) -> object:
        if next(calls) >= call:
            raise OSError(error, os.strerror(error))
        return of(*arguments, **named)

    return failing


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", range(6))
def test_a_disk_that_fails_anywhere_leaves_the_one_before_and_learning_goes_on(
    call: int,
    error: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen, broker = settings(tmp_path), memory_broker(MESSAGES[:2])
    with hosted(broker, chosen) as (host, state):
        host.stopping = lambda: state.ledger.steps == 10  # type: ignore[method-assign]
        learn(host, state)
        host.finish(state)
        before = saved(chosen)
        host.stopping = lambda: state.ledger.steps == 20  # type: ignore[method-assign]
        learn(host, state)
        state.holdouts.add("a", state.holdouts.sets["a"].inputs.numpy()[:1] + 1, [0])  # type: ignore[arg-type]
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fails_at(call, error, os.fsync))
            host.checkpoint(state)
            assert host.checkpointing.wait(LIMIT_SECONDS)
            with caplog.at_level(logging.ERROR):
                host.between_batches(state)
        assert saved(chosen) == before
        assert os.strerror(error) in caplog.text
        assert host.telemetry.failures.labels("checkpoint")._value.get() == 1
        after = without_mark(state)
        host.finish(state)  # once the disk is well again
        assert saved(chosen) == after
    assert not [*tmp_path.rglob(".writing-*")]


@contextmanager
def read_only(directory: Path, mode: int = 0o555) -> Iterator[None]:
    """Nothing in it can be written; root, whom no permissions stop, is somebody else meanwhile."""
    user, inside = os.geteuid(), [directory, *(p for p in directory.rglob("*") if p.is_dir())]
    for one in reversed(inside):
        one.chmod(mode)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for one in inside:
            one.chmod(0o755)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that everybody may look into, unlike pytest's."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(("mode", "refused"), [(0o555, "write into"), (0o000, "list")])
def test_a_directory_that_becomes_read_only_or_closed_leaves_the_one_before_and_learning_goes_on(
    mode: int, refused: str, open_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, broker = settings(open_directory), memory_broker(MESSAGES[:2])
    with hosted(broker, chosen) as (host, state):
        host.stopping = lambda: state.ledger.steps == 10  # type: ignore[method-assign]
        learn(host, state)
        host.finish(state)
        before = saved(chosen)
        with read_only(open_directory, mode):
            host.stopping = lambda: state.ledger.steps == 20  # type: ignore[method-assign]
            learn(host, state)
            host.checkpoint(state)
            host.publish(state)
            assert host.checkpointing.wait(LIMIT_SECONDS)
            assert host.publishing.wait(LIMIT_SECONDS)
            host.between_batches(state)
            with pytest.raises(CheckpointError, match=f"not saved: cannot {refused} .*Permission"):
                host.finish(state)
        assert saved(chosen) == before
        for what in ("checkpoint", "snapshot"):
            assert host.telemetry.failures.labels(what)._value.get() == 2
        assert "mend the directory's permissions" in caplog.text
        after = without_mark(state)
        host.finish(state)
        assert saved(chosen) == after


@contextmanager
def taken_away(path: Path, put_instead: Callable[[Path], object]) -> Iterator[None]:
    away = path.rename(path.with_name("away"))
    put_instead(path)
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        away.rename(path)


def nothing(_: Path) -> None: ...


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        *product(("", "epochs"), (nothing, Path.mkdir, Path.touch)),
        *product(("epochs/000001", "holdouts"), (nothing, Path.touch)),
    ],
)
def test_while_its_directory_is_away_it_learns_on_and_once_it_is_back_saves_all_of_it(
    part: str, instead: Callable[[Path], object], tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    chosen, broker = settings(directory), memory_broker(MESSAGES[:2])
    with hosted(broker, chosen) as (host, state):
        host.stopping = lambda: state.ledger.steps == 10  # type: ignore[method-assign]
        learn(host, state)
        host.finish(state)
        before = saved(chosen)
        with taken_away(directory / part, instead):
            host.stopping = lambda: state.ledger.steps == 20  # type: ignore[method-assign]
            learn(host, state)
            state.holdouts.add("a", state.holdouts.sets["a"].inputs.numpy()[:1] + 1, [0])  # type: ignore[arg-type]
            for _ in range(2):
                host.checkpoint(state)
                host.publish(state)
                assert host.checkpointing.wait(LIMIT_SECONDS)
                assert host.publishing.wait(LIMIT_SECONDS)
                host.between_batches(state)
        assert saved(chosen) == before
        assert host.telemetry.failures.labels("checkpoint")._value.get() == 2
        after = without_mark(state)
        host.finish(state)
        assert saved(chosen) == after
        assert host.publishing.snapshots.newest() is not None


def test_a_checkpoint_counts_as_written_where_what_it_replaces_cannot_be_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hosted(memory_broker(MESSAGES), settings(tmp_path)) as (host, state):
        (tmp_path / "holdouts" / files.name(9, "0" * 64, ".safetensors")).mkdir()
        learn(host, state)
        after = without_mark(state)
        host.finish(state)
    assert saved(settings(tmp_path)) == after
    assert host.telemetry.failures.labels("checkpoint")._value.get() == 0
    assert "older checkpoints are not removed: cannot write into" in caplog.text


def test_at_the_end_a_checkpoint_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hosted(memory_broker(MESSAGES), settings(tmp_path)) as (host, state):
        monkeypatch.setattr(os, "fsync", fails_at(0, errno.ENOSPC, os.fsync))
        state.ledger.position = {0: Position()}
        with pytest.raises(CheckpointError, match=r"is not saved: cannot write .* No space left"):
            host.finish(state)


class Unwilling(MemoryBroker):
    """Takes no letters while it is told not to; or takes them and does not say so."""

    refuses = False
    is_silent = False

    def append(self, stream: str, partition: int, envelopes: Sequence[Envelope]) -> list[int]:
        if self.refuses:
            raise BrokerError("away")
        offsets = super().append(stream, partition, envelopes)
        if self.is_silent:
            raise BrokerError("did not answer")
        return offsets


@pytest.mark.parametrize("how", ["refuses", "is_silent"])
def test_letters_that_the_broker_did_not_confirm_hold_back_the_checkpoint_and_are_never_doubled(
    how: str, tmp_path: Path
) -> None:
    broker, chosen = Unwilling(), settings(tmp_path)
    filled(broker, MESSAGES[:2])
    with hosted(broker, chosen) as (host, state):
        setattr(broker, how, True)
        host.stopping = lambda: state.ledger.steps == 10  # type: ignore[method-assign]
        learn(host, state)
        for _ in range(2 if how == "refuses" else 1):
            host.checkpoint(state)
            assert host.checkpointing.wait(LIMIT_SECONDS)
            assert CheckpointStore(tmp_path).newest() is None
            assert any(isinstance(told, events.WritingFailed) for told in host._written())
        setattr(broker, how, False)
        host.finish(state)
    letters = [letter.row for _, letter in read_letters(broker, STREAM)]
    assert letters == [7, 50]
    checkpoint = CheckpointStore(tmp_path).newest()
    assert checkpoint is not None
    assert checkpoint.manifest.ledger.dead_letters == 2


def embedded(tmp_path: Path) -> EmbeddedBroker:
    broker = EmbeddedBroker(tmp_path / "broker.sqlite")
    filled(broker, MESSAGES)
    return broker


@pytest.mark.parametrize(("retention", "low"), [("checkpoints", 3), ("all", 0)])
def test_the_embedded_log_is_pruned_below_the_oldest_of_the_newest_checkpoints(
    retention: str, low: int, tmp_path: Path
) -> None:
    chosen = settings(tmp_path, stream={"retention": retention})
    chosen = chosen.model_copy(
        update={"checkpoints": chosen.checkpoints.model_copy(update={"keep": 2})}
    )
    with embedded(tmp_path) as broker, hosted(broker, chosen) as (host, state):
        learn(host, state)
        host.finish(state)
        assert host.checkpointing.wait(LIMIT_SECONDS)
        assert broker.watermarks(STREAM, 0) == Watermarks(low, 5)
    positions = [
        CheckpointStore(tmp_path).read(path).manifest.ledger.position[0].offset
        for path in CheckpointStore(tmp_path).newest_first()
    ]
    assert positions == [5, 3]


@pytest.mark.parametrize(("retention", "kept"), [("checkpoints", [3, 4]), ("all", [0, 1, 2, 3, 4])])
def test_the_oldest_dead_letters_of_the_embedded_log_go_when_they_are_too_large_together(
    retention: str, kept: list[int], tmp_path: Path
) -> None:
    chosen = settings(tmp_path, stream={"retention": retention})
    broken = Envelope({}, b"{" * 3000)
    with EmbeddedBroker(tmp_path / "broker.sqlite") as broker:
        filled(broker, [*[broken] * 5, samples(8, task="a")])
        with hosted(broker, chosen) as (host, state):
            host.dead_letters.kept_bytes = 8000
            host.stopping = lambda: state.ledger.steps == 1  # type: ignore[method-assign]
            learn(host, state)
            host.finish(state)
        assert [letter.offset for _, letter in read_letters(broker, STREAM)] == kept


def test_boundaries_keep_their_checkpoints_beyond_the_newest(tmp_path: Path) -> None:
    stream = [one for n in range(6) for one in (samples(8, 10 * n, task=f"{n}"), Boundary(f"{n}"))]
    chosen = settings(tmp_path)
    options = chosen.checkpoints.model_copy(update={"keep": 1, "keep_at_boundaries": 3})
    chosen = chosen.model_copy(update={"checkpoints": options})
    broker: Broker = memory_broker([*stream, samples(8, 100, task="z")])
    with hosted(broker, chosen) as (host, state):
        host.stopping = lambda: state.ledger.steps == 7  # type: ignore[method-assign]
        learn(host, state)
        host.finish(state)
    store = CheckpointStore(tmp_path)
    kept = [store.read(path).manifest for path in store.newest_first()]
    assert [one.ledger.position[0] for one in kept] == [(12, 8), (12, 0), (10, 0), (8, 0)]
    assert [one.at_boundary for one in kept] == [False, True, True, True]


def test_however_long_a_stream_rests_at_a_boundary_those_before_stay(tmp_path: Path) -> None:
    stream = [one for n in range(3) for one in (samples(8, 10 * n, task=f"{n}"), Boundary(f"{n}"))]
    broker, chosen = memory_broker([*stream, End("end")]), settings(tmp_path)
    with hosted(broker, chosen) as (host, state):
        learn(host, state)
        host.finish(state)
    for n in range(8):  # restarts, and messages that nothing is learned from
        rejected, held = samples(1, bad=[0]), samples(1, 900 + n, task="0", role="holdout")
        broker.append(STREAM, 0, enveloped([rejected, held, End(f"end {n}")]))
        with hosted(broker, chosen) as (host, state):
            learn(host, state)
            host.finish(state)
    store = CheckpointStore(tmp_path)
    kept = [store.read(path).manifest for path in store.newest_first()]
    assert [one.ledger.consolidations for one in kept] == [3, 3, 3, 2, 1]


class LikeKafka(MemoryBroker):
    keeps_all = False


def test_a_retention_that_comes_near_the_oldest_checkpoint_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = LikeKafka()
    filled(broker, [samples(8, 10 * n, task="a") for n in range(100)])
    with hosted(broker, settings(tmp_path)) as (host, state):
        host.stopping = lambda: state.ledger.steps in {50, 51}  # type: ignore[method-assign]
        margin = host.telemetry.retention.labels(0)._value
        for low, expected in ((0, 1.0), (10, 39 / 90), (48, 1 / 52), (60, 0.0)):
            broker.prune(STREAM, 0, low)
            if not state.ledger.steps:
                learn(host, state)
            state.ledger.rejected["again"] = low  # so that there is something to save
            host._done.clear()
            host.finish(state)
            shutil.rmtree(tmp_path / "epochs/000001/checkpoints", ignore_errors=False)
            host.checkpoints._kept.clear()
            assert margin.get() == pytest.approx(expected)
    [line] = [line for line in caplog.messages if "raise the topic's retention" in line]
    assert "keeps offsets 48 to 99, and the oldest checkpoint stands at 49" in line


def test_retention_is_watched_also_while_nothing_can_be_learned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker, chosen = LikeKafka(), settings(tmp_path)
    filled(broker, [samples(8, 10 * n, task="a") for n in range(10)], [])  # the second is awaited
    for _ in range(2):  # the second one has only what it finds
        with hosted(broker, chosen) as (host, state):
            host.stopping = lambda: host.awaited.waiting() is not None  # type: ignore[method-assign]
            host.learn(state)
            host.finish(state)
            written = len([*CheckpointStore(tmp_path).newest_first()])
            broker.prune(STREAM, 0, 1)
            margin = host.telemetry.retention.labels(0)._value
            margin.set(-1)
            host._due.clear()
            while margin.get() == -1:
                host.between_batches(state)
            assert margin.get() == 0.0
            assert len([*CheckpointStore(tmp_path).newest_first()]) == written
    assert "keeps offsets 1 to 9, and the oldest checkpoint stands at 1" in caplog.text


def test_kafka_is_told_how_far_the_checkpoint_is(tmp_path: Path) -> None:
    told: list[tuple[dict[int, int], str]] = []

    class Told(LikeKafka):
        def commit_hint(self, stream: str, offsets: object, checkpoint: str) -> None:
            told.append((dict(offsets), checkpoint))  # type: ignore[call-overload]

    broker = Told()
    filled(broker, MESSAGES)
    with hosted(broker, settings(tmp_path)) as (host, state):
        learn(host, state)
        host.finish(state)
        assert host.checkpointing.wait(LIMIT_SECONDS)
    newest = next(CheckpointStore(tmp_path).newest_first())
    assert told[-1] == ({0: 5}, f"1/{newest.name}")


def test_of_a_writing_under_way_no_third_copy_is_made(tmp_path: Path) -> None:
    gate = Event()
    broker = memory_broker(MESSAGES)
    with hosted(broker, settings(tmp_path)) as (host, state):
        host.checkpointing._background.start(lambda: gate.wait(LIMIT_SECONDS) and None)  # type: ignore[arg-type]
        assert not host.checkpointing.is_idle
        host._due["checkpoint"] = 0.0
        host.between_batches(state)  # due by the clock, and put off until the writer is free
        assert not host.checkpointing._held
        gate.set()
        assert host.checkpointing.wait(LIMIT_SECONDS)
        host.between_batches(state)
        assert host.checkpointing.wait(LIMIT_SECONDS)
    assert CheckpointStore(tmp_path).newest() is not None
