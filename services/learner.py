"""The learner process: the loop on a real stream, from start to end.

Invariant: whatever stops it, what is on disk afterwards is a checkpoint from which the same weights
follow as if it had never stopped. So a stop may be as hard as it must.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event

import torch
from prometheus_client import CollectorRegistry, disable_created_metrics

from services.boundary_requests import BoundaryRequests
from services.learner_api import Told, answering
from services.learner_host import LearnerHost, reached
from services.logs import log_to_stderr, placed
from services.predictor.mirror.place import source_of_mirror
from si_stream.boundaries.tasks import Task
from si_stream.brokers import open_broker
from si_stream.errors import SettingsError, StreamNotFound, UnknownTask
from si_stream.learning.huge_pages import ask_for_huge_pages
from si_stream.settings import Settings
from si_stream.state import Ledger, State

logger = logging.getLogger(__name__)
STOP_SECONDS = 9


@contextmanager
def stopped_by_signals(stop: Event) -> Iterator[None]:
    """SIGTERM and SIGINT ask to stop; a second one, or `STOP_SECONDS` later the kernel, ends the
    process at once, whatever it waits for."""

    def ask(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)
        signal.alarm(STOP_SECONDS)

    former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        # What was asked to stop may still wait, at its exit, for a thread that waits for a broker:
        # the kernel's time for it goes on.
        for number, handler in former.items():
            signal.signal(number, handler)


def run(settings: Settings) -> None:
    """Learn until told to stop, or until the stream's end where `learner.exit_at_end` says so.

    Raises:
        SIStreamError: the settings, the broker or the directory do not allow it.
    """
    settings.require_model()
    if (source := source_of_mirror(settings.directory)) is not None:
        raise SettingsError(
            f"{settings.directory} is a copy of what {source} has published, which a predictor "
            "keeps; give this learner a --directory of its own"
        )
    log_to_stderr(settings.log)
    ask_for_huge_pages()
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
        # When each counter began: one more gauge for every one, and nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        state = State(settings, stream_id)
        host = LearnerHost(settings, broker, registry, stop)
        told = Told(
            registry,
            health=lambda: host.health(state),
            boundaries=BoundaryRequests(settings, broker),
            task=lambda name: known_task(state, name),
        )
        with (
            closing(host),
            placed(lambda: host.place(state)),
            answering(settings, told, stop.set) as address,
        ):
            host.vital_signs.metrics_address = address
            host.resume(state)
            logger.info("metrics at %s", address)
            while host.learn(state):
                logger.info("reading stream %s anew", stream.name)
            saved, ledger = host.finish(state), state.ledger
            how_far = what_is_saved(saved, ledger)
            logger.info("stopped at step %d, %d samples; %s", ledger.steps, ledger.samples, how_far)


def known_task(state: State, name: str) -> Task:
    """Raises:
    UnknownTask: none has been opened by the name.
    """
    for task in state.ledger.tasks.known:
        if task.name == name:
            return task
    raise UnknownTask(f"task {name!a:.200} is not known; `si-stream status` lists those that are")


def what_is_saved(saved: Ledger, ledger: Ledger) -> str:
    """Of what was learned up to a ledger, for people.

    >>> what_is_saved(Ledger(steps=3, samples=24), Ledger(steps=5, samples=40))
    'saved up to step 3, 24 samples: the last 16 are read again at the next start'
    """
    if reached(saved) == reached(ledger):
        return "all of it is saved"
    return (
        f"saved up to step {saved.steps}, {saved.samples} samples: the last "
        f"{ledger.samples - saved.samples} are read again at the next start"
    )
