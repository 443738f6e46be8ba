"""The loop: the one function that the service is.

Invariant: what is learned follows from the stream alone. The host around the loop may stop it
between any two batches and may save its state there; neither changes a bit of what comes after.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from time import perf_counter

from si_stream import events
from si_stream.batches import Batch, Batches, TaskEnd
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Position, Reader, offsets
from si_stream.dead_letters import Fault
from si_stream.errors import NotFinite
from si_stream.evaluation.answers import Answers
from si_stream.intake import Intake
from si_stream.merging import Merge
from si_stream.opening import Opener
from si_stream.rewinding import Rewinder
from si_stream.state import State
from si_stream.tracks import Track

POLL_SECONDS = 0.1
PROGRESS_STEPS = 50
SKIPS_IN_A_ROW = 3


class Host(ABC):
    """What surrounds the loop: where events go, when to stop, and what outlives the process."""

    @abstractmethod
    def emit(self, event: events.Event) -> None: ...

    @abstractmethod
    def set_aside(self, fault: Fault) -> None:
        """Keep what could not be learned from; it has been counted."""

    @abstractmethod
    def in_flight(self, batch: Batch) -> AbstractContextManager[object]:
        """Entered while a batch is learned, so that it is known should the process die of it."""

    @abstractmethod
    def stopping(self) -> bool:
        """Whether to return after this batch. A service that has been told to, say."""

    @abstractmethod
    def ends(self) -> list[int] | None:
        """Of each partition that the stream has now, the offset behind its last record; None
        while the broker cannot say."""

    @abstractmethod
    def between_batches(self, state: State) -> None:
        """Save what is due by the clock."""

    @abstractmethod
    def checkpoint(self, state: State) -> None:
        """Make the state durable."""

    @abstractmethod
    def publish(self, state: State) -> None:
        """Let predictors have the weights."""


def learn_stream(
    reader: Reader,
    state: State,
    host: Host,
    rewinder: Rewinder | None = None,
    *,
    until_end: bool,
) -> bool:
    """Learn a stream from the state's position on, until the host stops it.

    Returns whether it is to be called again, with a new reader: so at a boundary where the stream
    has partitions that the state does not know, which take part from there on; and where the state
    was rewound.

    Args:
        reader: begins at the offsets of the state's position, and at 0 in other partitions.
        rewinder: where boundaries are to be detected; the same one at each call.
        until_end: return at the stream's end message; otherwise wait for what comes after it.
    """
    ledger, tracks, emit, settings = state.ledger, state.tracks, host.emit, state.settings
    if ledger.tasks.active is None:
        ledger.know(reader.partitions)
    opener = Opener(state.schema, state.holdouts, settings.stream.max_message_bytes)
    in_turn = settings.stream.merge == "in-turn"
    merge = Merge(reader, ledger.cursor, opener, ledger.tasks.has_seen, emit, in_turn=in_turn)
    intake = Intake(state, emit, host.set_aside, rewinder.heard if rewinder else {})
    batches = Batches(state.schema, settings.model.batch_size)

    while not host.stopping():
        idle = True
        for delivery in merge.poll(POLL_SECONDS):  # consume, decode
            idle = False
            for taken in intake.take(delivery):
                for batch in batches.complete(taken):  # assemble
                    if ledger.passes_over(batch):
                        for track in tracks:  # what the batch would have opened
                            track.learner.open_heads(batch.task.head + 1)
                        emit(events.BatchQuarantined(*told(batch)))
                        continue
                    started = perf_counter()
                    with host.in_flight(batch):
                        finite = [track.learn(batch) for track in tracks]  # test, then train
                    ledger.learned(batch, finite=finite[0])
                    if not all(finite):
                        tell_skipped(state, batch, finite, emit)
                    if finite[0]:
                        seconds = perf_counter() - started
                        learned = (batch.task.name, batch.size, seconds, ledger.steps)
                        emit(events.BatchLearned(*learned))
                        tell_opened(state, batch, rewinder, emit)
                        state.portraits.see(batch.task.number, batch.inputs, batch.labels)
                        watch(state, batch.task, emit)
                        if rewinder and rewinder.saw_change(state, batch, emit):  # detect
                            return True
                    host.between_batches(state)
                    if host.stopping():
                        return False

                if isinstance(taken, TaskEnd):
                    if rewinder and rewinder.was_detected_before(state, taken, emit):
                        return True
                    task = ledger.end_task(taken)
                    if task is not None:
                        for track in tracks:
                            tell_progress(track, state, task, emit)
                            track.consolidate(task)  # consolidate
                        state.portraits.end(task.number)
                        for track in tracks:
                            evaluate_all(track, state, task, emit)  # evaluate
                    if rewinder:
                        rewinder.at_boundary(state, taken)
                    if task is not None or taken.ends_stream:
                        host.checkpoint(state)  # checkpoint
                        host.publish(state)  # publish
                    if taken.ends_stream:
                        emit(events.StreamEnded(ledger.steps, ledger.samples))
                        if until_end:
                            return False
                    if (ends := host.ends()) and len(ends) != len(ledger.position):
                        return True
            if not batches.pending:
                ledger.stand_at(delivery.behind)
        if idle and not batches.pending:
            ledger.stand_at(merge.at_rest())
        if idle and until_end and ledger.ended:
            ends = host.ends()
            if ends is not None and merge.is_behind(ends):
                return False
        host.between_batches(state)
    return False


def told(batch: Batch) -> tuple[str, int, dict[int, Position]]:
    return batch.task.name, batch.size, batch.then.positions


def tell_opened(state: State, batch: Batch, rewinder: Rewinder | None, emit: events.Emit) -> None:
    """The labels of a batch that came to its task's head for the first time."""
    ledger, task = state.ledger, batch.task
    labels = ledger.opened_by(batch, state.settings.model)
    if labels and rewinder is not None:
        labels = rewinder.untold(batch, labels)
    if labels:
        count = len(ledger.open_labels[task.head])
        emit(events.OutputsOpened(task.name, labels, count, ledger.steps))


def tell_skipped(state: State, batch: Batch, finite: list[bool], emit: events.Emit) -> None:
    """Raises:
    NotFinite: it is the last of `SKIPS_IN_A_ROW` in a row.
    """
    for track, learned in zip(state.tracks, finite, strict=True):
        if not learned:
            emit(events.BatchSkipped(track.name, *told(batch)))
    if state.ledger.skipped_in_a_row >= SKIPS_IN_A_ROW:
        rate = state.settings.optimiser.learning_rate
        raise NotFinite(
            f"the loss or a gradient of {SKIPS_IN_A_ROW} batches in a row was not a finite number, "
            f"up to offsets {offsets(batch.then.positions)} of task {batch.task.name!r}; none of "
            f"them changed a weight. Lower the learning rate ({rate:g}) with --accept-changes, or "
            "go back with si-stream rollback"
        )


def watch(state: State, active: Task, emit: events.Emit) -> None:
    """Every so many steps: read the tallies; measure the active task and, in turn, an older one.

    One older task each time, so that the cost does not grow with their number.
    """
    ledger, options = state.ledger, state.settings.holdout
    if ledger.steps % PROGRESS_STEPS == 0:
        for track in state.tracks:
            tell_progress(track, state, active, emit)
    if ledger.steps % options.evaluation_interval_steps == 0:
        older = [task for task in ledger.tasks.known if task.name != active.name]
        turn = ledger.steps // options.evaluation_interval_steps
        for track in state.tracks:
            for task in [active, *older[turn % len(older) :][:1]] if older else [active]:
                evaluate(track, state, task, emit)
            measure_layers(track, emit)


def tell_progress(track: Track, state: State, active: Task, emit: events.Emit) -> None:
    tested = track.tested(active)
    labels = state.ledger.labels_of(active.head, state.settings.model)
    emit(
        events.Progress(
            track=track.name,
            task=active.name,
            step=state.ledger.steps,
            samples=state.ledger.samples,
            tested=tested.samples,
            wrong=tested.wrong,
            loss=tested.loss,
            surrogate_loss=float(track.learner.surrogate_loss(active.head)),
            open_outputs=None if labels is None else len(labels),
        )
    )


def evaluate(track: Track, state: State, task: Task, emit: events.Emit) -> Answers | None:
    """What one task's holdout shows now, told to whoever listens; None without a holdout set."""
    ledger = state.ledger
    answers = track.evaluate(task, state.holdouts, ledger.steps)
    if answers is not None:
        live = track.measures.live[task.name]
        place = (track.name, task.name, ledger.steps, ledger.samples)
        figures = (live.accuracy, live.standard_error, live.samples)
        forgotten = (live.forgetting, live.forgetting_standard_error)
        emit(events.Evaluated(*place, *figures, *forgotten))
    return answers


def evaluate_all(track: Track, state: State, trained: Task, emit: events.Emit) -> None:
    """A row of the accuracy matrix: every task known at this boundary."""
    ledger, matrix = state.ledger, track.measures.accuracy
    track.add_row([evaluate(track, state, task, emit) for task in ledger.tasks.known], trained)
    figures = (matrix.average_accuracy(), matrix.mean_forgetting(), matrix.backward_transfer())
    plasticity = track.measures.plasticity
    place = (track.name, trained.name, ledger.steps, ledger.samples)
    learned = (plasticity.speed(), plasticity.level())
    emit(events.Consolidated(*place, matrix.rows[-1], *figures, *learned))
    measure_layers(track, emit)


def measure_layers(track: Track, emit: events.Emit) -> None:
    for layer in track.learner.layers():
        emit(events.LayerMeasured(track.name, layer.name, layer.importance, layer.drift))
