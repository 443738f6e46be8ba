"""The load of a soak: the same tasks over and over, bad messages among them, and questions.

Invariant: tasks are bounded, since they come again under their names; every event id is new.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from threading import Event, Thread

import numpy as np

from services.demo.question import request
from si_stream.brokers.interface import Broker, Envelope
from si_stream.messages.codecs import encode
from si_stream.messages.kinds import Boundary, End, Message, Samples
from simulators.options import ReplayOptions
from simulators.replay import messages
from simulators.scenarios import Scenario

BAD_EVERY = 25


class Load(Thread):
    """Work that goes on until it is told to stop; what made it fail is raised in `finish`."""

    def __init__(self) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self.enough = Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:  # noqa: BLE001 - told of by another thread
            self.failure = error

    def work(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        self.enough.set()
        self.join()
        if self.failure is not None:
            raise self.failure


class Sender(Load):
    """Args: the pace counts samples of every kind."""

    def __init__(
        self, broker: Broker, stream: str, scenario: Scenario, samples_per_second: float
    ) -> None:
        super().__init__()
        self.broker, self.stream, self.scenario = broker, stream, scenario
        self.samples_per_second = samples_per_second
        self.messages = self.samples = self.bad = 0

    def work(self) -> None:
        started = time.monotonic()
        for number, message in enumerate(endless(self.scenario)):
            if self.enough.is_set():
                return
            envelopes = [enveloped(message, number)]
            if number % BAD_EVERY == 0:
                envelopes.append(bad(number))
                self.bad += 1
            self.broker.append(self.stream, 0, envelopes)
            self.messages += len(envelopes)
            self.samples += len(message) if isinstance(message, Samples) else 0
            due = started + self.samples / self.samples_per_second
            self.enough.wait(max(0.0, due - time.monotonic()))


def endless(scenario: Scenario) -> Iterator[Message]:
    """Each round in another order. Nothing ends."""
    for seed in itertools.count():
        for message in messages(scenario, ReplayOptions(seed=seed)):
            if not isinstance(message, End):
                yield message


def enveloped(message: Message, number: int) -> Envelope:
    if isinstance(message, Boundary):
        message = Boundary(f"soak-{number}", message.next_task)
    event_id = f"soak-{number}" if isinstance(message, Samples) else None
    return encode(message, source="/soak", event_id=event_id)


def bad(number: int) -> Envelope:
    """In turn one that cannot be read, one of a wrong shape, and one with a row to refuse."""
    values = [
        b"not JSON",
        b'{"labels": [0], "inputs": [[1, 2, 3]]}',
        b'{"labels": [-1], "inputs": [' + str([[0] * 8] * 8).encode() + b"]}",
    ]
    return Envelope({}, values[number // BAD_EVERY % len(values)])


class Asker(Load):
    """Asks for predictions, about so many a second."""

    def __init__(self, address: str, path: str, per_second: float) -> None:
        super().__init__()
        self.address, self.path, self.per_second = address, path, per_second
        self.answered = self.refused = 0

    def work(self) -> None:
        body = np.zeros((8, 8), np.uint8).tobytes()
        while not self.enough.wait(1 / self.per_second):
            status, _ = request(self.address, self.path, body)
            self.answered += status == 200
            self.refused += status != 200
