"""The learner process: the loop on a real stream, with what outlives it.

Invariant: whatever stops it, what is on disk afterwards is a checkpoint from which the same weights
follow as if it had never stopped.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event

import torch
from prometheus_client import CollectorRegistry, start_http_server

from services.awaited import AwaitedPartition
from services.journal import Journal
from services.logs import log_to_stderr
from si_stream import events
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker
from si_stream.checkpoints.snapshots import ServedTask, Snapshot, SnapshotManifest, SnapshotStore
from si_stream.checkpoints.store import (
    Checkpoint,
    CheckpointStore,
    arithmetic,
    learning_settings,
)
from si_stream.dead_letters import DeadLetters, Fault
from si_stream.errors import BrokerError, IdentityMismatch, SettingsError, StreamNotFound
from si_stream.learning.frozen import weights_of
from si_stream.loop import Host, learn_stream
from si_stream.settings import Settings
from si_stream.settings.layers import flattened
from si_stream.state import State
from si_stream.telemetry import Telemetry

logger = logging.getLogger(__name__)
LAG_SECONDS = 1.0
REJECTED_SECONDS = 1.0
HEARING_SECONDS = 0.2


class LearnerHost(Host):
    """Checkpoints, snapshots, metrics and the journal of one learner, by the clock.

    Args:
        broker: asked for the lag.
        stop: set when the process is to end.
    """

    def __init__(
        self, settings: Settings, broker: Broker, registry: CollectorRegistry, stop: Event
    ) -> None:
        self.settings = settings
        self.broker = broker
        self.stop = stop
        self.checkpoints = CheckpointStore(settings.directory)
        self.snapshots = SnapshotStore(settings.directory)
        self.telemetry = Telemetry(registry)
        self.journal = Journal(settings.directory)
        stream = settings.stream
        self.dead_letters = DeadLetters(broker, stream.name, stream.max_message_bytes)
        self.awaited = AwaitedPartition()
        self.epoch = 0
        self._unheard: list[events.Event] = []
        self._due: dict[str, float] = {}
        self._done: dict[str, object] = {}

    def resume(self, state: State) -> None:
        """Go on from the newest whole checkpoint, if there is one, in an epoch of one's own.

        Raises:
            IdentityMismatch: it is another model's, or its learning settings were others.
            CheckpointError: the directory cannot be written.
        """
        checkpoint = self.checkpoints.newest()
        self.telemetry.refused.inc(self.checkpoints.refused)
        if checkpoint is not None:
            self._check(checkpoint, state)
            self._load(checkpoint, state)
            self._note_changes(checkpoint, state)
        self.dead_letters.resume(state.ledger.dead_letters)
        self.epoch = self.checkpoints.claim_epoch()
        self.telemetry.epoch.set(self.epoch)
        if checkpoint is not None:
            self.telemetry.resume(state.ledger, state.measures())
            self.publish(state)
            ledger = state.ledger
            logger.info("going on at step %d, %d samples", ledger.steps, ledger.samples)
        self._put_off("checkpoint", self.settings.checkpoints.interval_seconds)

    def emit(self, event: events.Event) -> None:
        """Take note of it; of those that come with every batch, many at once, which is quicker."""
        self._unheard.append(event)
        if not isinstance(event, events.BatchLearned | events.Received):
            self._hear()
        if isinstance(event, events.Rejected) and self._is_due(event.reason):
            logger.warning("rejected %s at offset %d: %s", event.reason, event.offset, event.detail)
            self._put_off(event.reason, REJECTED_SECONDS)  # a line for each would be a flood
        if isinstance(event, events.Awaiting):
            self.awaited.becomes(event.partition)

    def learn(self, state: State) -> bool:
        """Learn what all partitions hold; whether to do so again, as there are more of them now."""
        offsets = {k: position.offset for k, position in state.ledger.position.items()}
        with self.broker.reader(self.settings.stream.name, offsets) as reader:
            self.telemetry.watch_partitions(reader.partitions)
            until_end = self.settings.learner.exit_at_end
            return learn_stream(reader, state, self, until_end=until_end)

    def set_aside(self, fault: Fault) -> None:
        self.dead_letters.add(fault, time.time())

    def ends(self) -> list[int] | None:
        stream = self.settings.stream.name
        try:
            partitions = range(self.broker.partitions(stream))
            return [self.broker.watermarks(stream, partition).high for partition in partitions]
        except BrokerError:
            return None  # The reader says that the broker is away, and when it is back.

    def stopping(self) -> bool:
        return self.stop.is_set()

    def between_batches(self, state: State) -> None:
        self.awaited.remind()
        if self._is_due("hearing"):
            self._hear()
        if self._is_due("checkpoint"):
            self.checkpoint(state)
        if self._is_due("snapshot"):
            self.publish(state)
        if self._is_due("lag"):
            self._measure_lag(state)
            self._put_off("lag", LAG_SECONDS)

    def checkpoint(self, state: State) -> None:
        self._put_off("checkpoint", self.settings.checkpoints.interval_seconds)
        if self._is_news("checkpoint", state):
            started = time.perf_counter()
            state.ledger.dead_letters = self.dead_letters.flush()
            _, size = self.checkpoints.write(state, self.epoch, time.time())
            self.checkpoints.prune(self.epoch, self.settings.checkpoints.keep)
            seconds = time.perf_counter() - started
            place = (state.ledger.steps, state.ledger.samples)
            self.emit(events.CheckpointWritten(*place, seconds, size))
        self.telemetry.is_current("checkpoint")

    def publish(self, state: State) -> None:
        self._put_off("snapshot", self.settings.snapshots.interval_seconds)
        if not state.main.learner.heads:
            return  # Nothing to predict with before the first sample.
        if self._is_news("snapshot", state):
            self.checkpoints.require(self.epoch)
            snapshot = make_snapshot(state, self.epoch, time.time())
            self.snapshots.publish(snapshot, self.settings.snapshots.keep)
            ledger = state.ledger
            self.emit(events.SnapshotPublished(self.epoch, ledger.steps, ledger.samples))
        self.telemetry.is_current("snapshot")

    def close(self) -> None:
        self.journal.close()

    def _check(self, checkpoint: Checkpoint, state: State) -> None:
        differences = state.identity.differences(checkpoint.manifest.identity)
        if differences:
            raise IdentityMismatch(
                f"the checkpoint in {self.settings.directory} is of another model "
                f"({'; '.join(differences)}); start with its settings, or give this model a "
                "--directory of its own"
            )
        changed = changes(checkpoint, state)
        if changed and not self.settings.learner.accept_changes:
            raise IdentityMismatch(
                f"the checkpoint in {self.settings.directory} was learned with other settings "
                f"({'; '.join(changed)}); start with them, or change them on purpose with "
                "--accept-changes"
            )
        for key, was in checkpoint.manifest.arithmetic.items():
            if (now := arithmetic(state).get(key)) != was:
                logger.warning(
                    "the checkpoint was learned with %s %s, this is %s: what follows is right, "
                    "but not bit for bit what it would have been there",
                    key, was, now,
                )  # fmt: skip

    def _load(self, checkpoint: Checkpoint, state: State) -> None:
        manifest = checkpoint.manifest
        try:
            state.resume(manifest.ledger, manifest.measures, checkpoint.tensors)
        except ValueError as error:  # a module of one's own, say, that is no longer what it was
            raise IdentityMismatch(
                f"the checkpoint in {self.settings.directory} does not fit this network: {error}; "
                "start with the network that it was learned with, or give this model a "
                "--directory of its own"
            ) from error
        state.holdouts.sets = checkpoint.holdouts

    def _note_changes(self, checkpoint: Checkpoint, state: State) -> None:
        if changed := changes(checkpoint, state):
            ledger = state.ledger
            ledger.changes.append({"position": dict(ledger.position), "changes": changed})
            logger.info("changed on purpose: %s", "; ".join(changed))

    def _hear(self) -> None:
        for event in self._unheard:
            self.telemetry.hear(event)
            self.journal.hear(event)
        self._unheard.clear()
        self._put_off("hearing", HEARING_SECONDS)

    def _measure_lag(self, state: State) -> None:
        for partition, end in enumerate(self.ends() or []):
            position = state.ledger.position.get(partition)
            lag = end - (position.offset if position else 0)
            self.telemetry.lag.labels(partition).set(lag)

    def _is_news(self, what: str, state: State) -> bool:
        """Whether anything has come since this was last done: an idle stream wears out no disk."""
        ledger = state.ledger
        now = (ledger.steps, ledger.consolidations, dict(ledger.counted))
        before, self._done[what] = self._done.get(what), now
        return now != before

    def _is_due(self, what: str) -> bool:
        return time.monotonic() >= self._due.get(what, 0.0)

    def _put_off(self, what: str, seconds: float) -> None:
        self._due[what] = time.monotonic() + seconds


def changes(checkpoint: Checkpoint, state: State) -> list[str]:
    """Learning settings that differ from the checkpoint's, one ``key: now, not before`` each."""
    before = dict(flattened(checkpoint.manifest.learning))
    now = dict(flattened(learning_settings(state)))
    return [f"{k}: {v!r}, not {before.get(k)!r}" for k, v in now.items() if v != before.get(k)]


def make_snapshot(state: State, epoch: int, written_seconds: float) -> Snapshot:
    """What a predictor needs of a state, as it is now."""
    ledger, measures = state.ledger, state.measures()
    tasks = []
    for task in ledger.tasks.known:
        live = measures["main"].live.get(task.name)
        tested = measures["main"].prequential.tasks.get(task.name)
        tasks.append(
            ServedTask(
                name=task.name,
                head=task.head,
                classes=task.classes,
                samples=tested.samples if tested else 0,
                holdout_accuracy=live.accuracy if live else None,
                holdout_samples=live.samples if live else 0,
            )
        )
    manifest = SnapshotManifest(
        epoch=epoch,
        step=ledger.steps,
        written_seconds=written_seconds,
        model=state.settings.model,
        tasks=[task for task in tasks if task.head < len(state.main.learner.heads)],
        active_task=ledger.tasks.active.name if ledger.tasks.active else None,
        position={k: (v.offset, v.row) for k, v in ledger.position.items()},
        samples=ledger.samples,
        tracks=measures,
    )
    return Snapshot(manifest, weights_of(state.main.learner.state()))


@contextmanager
def stopped_by_signals(stop: Event) -> Iterator[None]:
    """SIGTERM and SIGINT ask to stop; a second one is not waited for."""

    def ask(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def run(settings: Settings) -> None:
    """Learn until told to stop, or until the stream's end where `learner.exit_at_end` says so.

    Raises:
        SIStreamError: the settings, the broker or the directory do not allow it.
    """
    settings.require_model()
    log_to_stderr()
    torch.set_num_threads(settings.compute.threads)
    os.nice(settings.learner.niceness)
    stop = Event()
    stream, url = settings.stream, settings.stream.broker
    with stopped_by_signals(stop), open_broker(url, settings.kafka) as broker:
        try:
            stream_id = broker.stream_id(stream.name)
        except StreamNotFound:
            broker.create_stream(stream.name, max_message_bytes=stream.max_message_bytes)
            stream_id = broker.stream_id(stream.name)
        registry = CollectorRegistry()
        state = State(settings, stream_id)
        host = LearnerHost(settings, broker, registry, stop)
        with closing(host), serving_metrics(settings, registry) as address:
            host.resume(state)
            logger.info("metrics at %s", address)
            while host.learn(state):
                logger.info("stream %s has more partitions now", stream.name)
            host.checkpoint(state)
            host.publish(state)


@contextmanager
def serving_metrics(settings: Settings, registry: CollectorRegistry) -> Iterator[str]:
    """Serve ``/metrics`` meanwhile, at the address that is yielded.

    Raises:
        SettingsError: the port is taken.
    """
    host, port = settings.learner.metrics_host, settings.learner.metrics_port
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(
            f"cannot serve metrics at {host}:{port}: {error.strerror}; "
            "choose another --metrics-port (0 takes any that is free)"
        ) from error
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
