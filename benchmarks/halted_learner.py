"""A learner process that trains when it is told to, and then does not run out of samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from benchmarks.processes import Process, events, running_service
from benchmarks.service import STREAM, new_broker
from si_stream.brokers.interface import Broker, Envelope
from si_stream.messages.kinds import Samples
from si_stream.settings import Settings
from simulators.options import ReplayOptions
from simulators.replay import envelopes, messages
from simulators.scenarios import Scenario

SAMPLES_PER_MESSAGE = 128
SPARE_MESSAGES = 100  # learned between the learner's word of where it is and its halt


class HaltedLearner:
    """Args:
    process: a learner, halted.
    supply: messages for it, to be sent over and over.
    """

    def __init__(self, process: Process, broker: Broker, supply: list[Envelope]) -> None:
        self._process = process
        self._broker = broker
        self._supply = supply
        self._wanted = 1000
        self._taken = 0

    def train_during(self, work: Callable[[], float]) -> float:
        """What the work returns; it is done once more if the learner ran out of samples in it."""
        while True:
            self._stock_up()
            before = self._taken
            self._process.go_on()
            try:
                result = work()
                self._taken = self._done_with()
            finally:
                self._process.pause()
            self._wanted = max(self._wanted, 2 * (self._taken - before))
            if self._sent() - self._taken > SPARE_MESSAGES:
                return result

    def _stock_up(self) -> None:
        self._broker.prune(STREAM, 0, self._taken)
        while self._sent() - self._taken < self._wanted:
            self._broker.append(STREAM, 0, self._supply)

    def _sent(self) -> int:
        return self._broker.watermarks(STREAM, 0).high

    def _done_with(self) -> int:
        """Messages that the learner has learned, as it says while it runs."""
        with urlopen(f"http://127.0.0.1:{self._process.port()}/health") as answer:
            return int(json.load(answer)["samples"]) // SAMPLES_PER_MESSAGE


@contextmanager
def halted_learner(scenario: Scenario, settings: Settings) -> Iterator[HaltedLearner]:
    """A new model's, with a first snapshot published."""
    options = ReplayOptions(samples_per_message=SAMPLES_PER_MESSAGE, holdout=False)
    replayed = zip(messages(scenario, options), envelopes(scenario, options), strict=True)
    supply = [envelope for message, envelope in replayed if isinstance(message, Samples)]
    with new_broker(settings.stream.broker) as broker:
        broker.append(STREAM, 0, supply)
        with running_service("learner", settings) as process:
            process.wait_for(lambda: events(settings.directory, "SnapshotPublished") or None)
            process.pause()
            yield HaltedLearner(process, broker, supply)
