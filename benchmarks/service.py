"""The learner service within this process, put together as `services.learner` does."""

from __future__ import annotations

from threading import Event

from prometheus_client import CollectorRegistry

from services.learner_host import LearnerHost
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker
from si_stream.loop import learn_stream
from si_stream.settings import Settings
from si_stream.state import State

STREAM = "samples"


class Service:
    """Of a new model, in the directory of its settings."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.broker = broker
        self.state = State(settings, broker.stream_id(STREAM))
        self.host = LearnerHost(settings, broker, CollectorRegistry(), Event())
        self.host.resume(self.state)

    def learn_to_the_end(self) -> None:
        """Take the stream up where it was left, until the next end message."""
        rewinder, again = self.host.checkpointing.rewinder, True
        while again:
            position = self.state.ledger.position
            offsets = {partition: place.offset for partition, place in position.items()}
            with self.broker.reader(STREAM, offsets) as reader:
                again = learn_stream(reader, self.state, self.host, rewinder, until_end=True)

    def close(self) -> None:
        self.host.close()


def new_broker(url: str) -> Broker:
    """With a stream in it."""
    broker = open_broker(url)
    broker.create_stream(STREAM)
    return broker
