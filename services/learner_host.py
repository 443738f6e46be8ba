"""The host of a learner's loop: what outlives the process, and what others see of it.

Invariant: it acts between batches and at boundaries only, and nothing that it does changes what is
learned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from threading import Event

from prometheus_client import CollectorRegistry

from services.awaited import AwaitedPartition
from services.background import Background
from services.checkpointing import Checkpointing
from services.in_flight import InFlight
from services.journal import Journal
from services.learner_status import LearnerStatus
from services.logs.sentences import said
from services.positions import fit_position
from services.process_metrics import ProcessMetrics
from services.publishing import Publishing
from services.resuming import resume_from
from services.status_writing import StatusWriting
from services.vital_signs import VitalSigns
from si_stream import events
from si_stream.batches import Batch
from si_stream.brokers.interface import Broker, Position
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import DeadLetters, Fault
from si_stream.errors import BrokerError, CheckpointError
from si_stream.loop import Host, learn_stream
from si_stream.rewinding import Rewinder
from si_stream.settings import Settings
from si_stream.state import Ledger, Quarantined, State
from si_stream.telemetry import Telemetry

logger = logging.getLogger(__name__)
LAG_SECONDS = 1.0
RETENTION_SECONDS = 60.0
REJECTED_SECONDS = 1.0
HEARING_SECONDS = 0.2
FINISH_SECONDS = 6.0


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
        self.telemetry = Telemetry(registry)
        self.process_metrics = ProcessMetrics(registry)
        self.journal = Journal(settings.directory)
        stream = settings.stream
        self.dead_letters = DeadLetters(broker, stream.name, stream.max_message_bytes)
        self.checkpointing = Checkpointing(
            settings, self.checkpoints, self.dead_letters, broker, self.telemetry
        )
        self.publishing = Publishing(settings, self.checkpoints, self.telemetry)
        self.measuring = Background("lag")
        self.awaited = AwaitedPartition()
        self.vital_signs = VitalSigns(settings)
        self.status_writing: StatusWriting | None = None
        self.flights = InFlight(settings.directory, stop)
        self.epoch = 0
        self._unheard: list[events.Event] = []
        self._due: dict[str, float] = {}
        self._done: dict[str, object] = {}

    def resume(self, state: State) -> None:
        """Go on from the newest whole checkpoint, if there is one, in an epoch of one's own.

        Raises:
            IdentityMismatch: it is another model's, or its learning settings were others.
            PositionOutOfRange: the stream does not hold its position, and may not be moved in.
            CheckpointError: the directory cannot be written.
        """
        checkpoint = self.checkpoints.newest()
        self.telemetry.refused.inc(self.checkpoints.refused)
        saved = checkpoint and (checkpoint.manifest.identity, checkpoint.manifest.ledger.copied())
        made_anew = checkpoint is not None and resume_from(checkpoint, state)
        fit_position(state, self.broker, made_anew=made_anew)
        if (place := self.flights.quarantined) is not None:
            state.ledger.quarantined.append(Quarantined(place=place))
        if saved == (state.identity, state.ledger) and not self.checkpoints.refused:
            self._done["checkpoint"] = reached(state.ledger)
        self.checkpointing.oldest = self.checkpoints.oldest_position(self.settings.checkpoints.keep)
        self.dead_letters.resume(state.ledger.dead_letters, state.ledger.counted)
        self.process_metrics.describe(self.settings, state.main.learner.device)
        self.epoch = self.checkpoints.claim_epoch()
        self.telemetry.epoch.set(self.epoch)
        self.emit(events.LearnerStarted(self.epoch, state.ledger.steps, state.ledger.samples))
        if checkpoint is not None:
            saved_seconds = checkpoint.manifest.written_seconds
            self.telemetry.resume(state.ledger, state.measures(), saved_seconds)
            self.vital_signs.resume(checkpoint.manifest)
            self.publish(state)
            ledger = state.ledger
            logger.info("going on at step %d, %d samples", ledger.steps, ledger.samples)
        if state.drift is not None:
            self.telemetry.watch_signals(self.settings.detection.signals)
            self.checkpointing.rewinder = Rewinder(state, self.checkpointing)
        else:
            self.checkpointing.drop(self.checkpointing.copy(state))  # so that its memory is there
        self._put_off("checkpoint", self.settings.checkpoints.interval_seconds)
        if place is not None:  # it must outlive a death of the next such batch, however near
            self.checkpoint(state)
            self.checkpointing.wait(FINISH_SECONDS)
        self.status_writing = StatusWriting(self.settings.directory, lambda: self.health(state))
        self.status_writing.start()

    def emit(self, event: events.Event) -> None:
        """Take note of it; of those that come with every batch, many at once, which is quicker."""
        self._unheard.append(event)
        if not isinstance(event, events.BatchLearned | events.Received):
            self._hear()
            self._say(event)
        if isinstance(event, events.Awaiting):
            self.awaited.becomes(event.partition)

    def learn(self, state: State) -> bool:
        """Learn what all partitions hold; whether to do so again, as there are more of them now."""
        fit_position(state, self.broker)
        offsets = {k: position.offset for k, position in state.ledger.position.items()}
        with self.broker.reader(self.settings.stream.name, offsets) as reader:
            self.telemetry.watch_partitions(reader.partitions)
            self.process_metrics.watch_reader(reader, lambda: state.ledger.position)
            until_end = self.settings.learner.exit_at_end
            rewinder = self.checkpointing.rewinder
            return learn_stream(reader, state, self, rewinder, until_end=until_end)

    def set_aside(self, fault: Fault) -> None:
        self.dead_letters.add(fault, time.time())

    def ends(self) -> list[int] | None:
        stream = self.settings.stream.name
        try:
            partitions = range(self.broker.partitions(stream))
            return [self.broker.watermarks(stream, partition).high for partition in partitions]
        except BrokerError:
            return None  # The reader says that the broker is away, and when it is back.

    def in_flight(self, batch: Batch) -> InFlight:
        return self.flights.of(batch)

    def stopping(self) -> bool:
        return self.stop.is_set()

    def between_batches(self, state: State) -> None:
        self.awaited.remind()
        if self._is_due("hearing"):
            self._hear()
        for event in self._written():
            self.emit(event)
        if self._is_due("checkpoint") and self.checkpointing.is_idle:
            self.checkpoint(state)
        if self._is_due("snapshot") and self.publishing.is_idle:
            self.publish(state)
        if self._is_due("lag"):
            self.telemetry.asks_broker()  # also where it has not answered yet what was asked before
            if self.measuring.is_idle:
                offsets = {k: position.offset for k, position in state.ledger.position.items()}
                self.measuring.start(lambda: self._measure_lag(offsets))
                self._put_off("lag", LAG_SECONDS)
        # Also of a learner that waits, and so writes no checkpoint, while the stream goes on.
        if self._is_due("retention") and self.measuring.is_idle:
            self.measuring.start(self._watch_retention)
            self._put_off("retention", RETENTION_SECONDS)

    def checkpoint(self, state: State) -> None:
        self._put_off("checkpoint", self.settings.checkpoints.interval_seconds)
        pending = self.checkpointing.pending(state)
        if self._is_news("checkpoint", pending):
            self.checkpointing.begin(state, self.epoch)
        elif self.checkpointing.is_idle and reached(pending) == reached(state.ledger):
            self.telemetry.is_current("checkpoint", time.time())

    def publish(self, state: State) -> None:
        self._put_off("snapshot", self.settings.snapshots.interval_seconds)
        if not state.main.learner.heads:
            return  # Nothing to predict with before the first sample.
        if self._is_news("snapshot", state.ledger):
            self.publishing.begin(state, self.epoch)
        elif self.publishing.is_idle:
            self.telemetry.is_current("snapshot", time.time())

    def health(self, state: State) -> LearnerStatus:
        """For people and probes: where learning is, and what it waits for."""
        return self.vital_signs.status(state, self.epoch, self.awaited)

    def place(self, state: State) -> dict[str, object]:
        """Where learning is, for each line of the log; nothing before an epoch is claimed."""
        ledger, active = state.ledger, state.ledger.tasks.active
        if not self.epoch:
            return {}
        return {
            "epoch": self.epoch,
            "step": ledger.steps,
            "samples": ledger.samples,
            "task": active.name if active else None,
            "position": ledger.position,
        }

    def finish(self, state: State) -> Ledger:
        """Save all that was learned and will not be undone, or say that it was not.

        Returns the ledger that is saved: where boundaries are detected, that of an older copy.

        Raises:
            CheckpointError: it could not be saved, or not in time.
        """
        self.checkpoint(state)
        self.publish(state)
        deadline = time.monotonic() + FINISH_SECONDS
        for writing in (self.checkpointing, self.publishing):
            if not writing.wait(deadline - time.monotonic()):
                raise CheckpointError(
                    f"what was learned last could not be saved within {FINISH_SECONDS:g} s; it is "
                    "learned again at the next start"
                )
        failures = []
        for event in self._written():
            self.emit(event)
            failures += [event.reason] if isinstance(event, events.WritingFailed) else []
        if failures:
            raise CheckpointError(f"what was learned last is not saved: {failures[0]}")
        self.vital_signs.stopped = True
        return self.checkpointing.pending(state)

    def close(self) -> None:
        for background in (self.checkpointing, self.publishing, self.measuring):
            background.close()
        self._hear()
        self.journal.close()
        if self.status_writing is not None:
            self.status_writing.close()

    def _written(self) -> Iterator[events.Event]:
        """What has become of checkpoints and snapshots; what failed is to be tried again."""
        for event in chain(self.checkpointing.finished(), self.publishing.finished()):
            if isinstance(event, events.WritingFailed):
                self._done.pop(event.what, None)
            yield event

    def _say(self, event: events.Event) -> None:
        if isinstance(event, events.Rejected):
            if not self._is_due(event.reason):
                return
            self._put_off(event.reason, REJECTED_SECONDS)  # a line for each would be a flood
        if (line := said(event)) is not None:
            logger.log(line.level, "%s", line.text, extra={"fields": line.fields})

    def _hear(self) -> None:
        for event in self._unheard:
            self.telemetry.hear(event)
            self.vital_signs.hear(event)
            self.journal.hear(event)
        self._unheard.clear()
        self._put_off("hearing", HEARING_SECONDS)

    def _measure_lag(self, offsets: dict[int, int]) -> None:
        ends = self.ends()
        if ends is None:
            return  # the lag is the last known, while the broker is away
        self.telemetry.hears_broker()
        lag = {
            partition: max(0, end - offsets.get(partition, 0)) for partition, end in enumerate(ends)
        }
        for partition, messages in lag.items():
            self.telemetry.lag.labels(partition).set(messages)
        self.vital_signs.lag = lag

    def _watch_retention(self) -> None:
        with suppress(BrokerError):  # the reader says that the broker is away
            self.checkpointing.watch_retention()

    def _is_news(self, what: str, ledger: Ledger) -> bool:
        """Whether anything has come since this was last done: an idle stream wears out no disk."""
        now = reached(ledger)
        before, self._done[what] = self._done.get(what), now
        return now != before

    def _is_due(self, what: str) -> bool:
        return time.monotonic() >= self._due.get(what, 0.0)

    def _put_off(self, what: str, seconds: float) -> None:
        self._due[what] = time.monotonic() + seconds


def reached(ledger: Ledger) -> tuple[int, int, dict[int, Position]]:
    """What differs between two ledgers of a learner once anything has come between them."""
    return ledger.steps, ledger.consolidations, dict(ledger.counted)
