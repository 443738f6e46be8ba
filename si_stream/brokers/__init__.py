"""The brokers that carry streams, opened by URL."""

from __future__ import annotations

from si_stream.brokers.interface import Broker
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError

__all__ = ["open_broker"]


def open_broker(url: str, kafka: KafkaOptions | None = None, *, read_only: bool = False) -> Broker:
    """The broker at ``url``: ``embedded:PATH``, a durable log in the file PATH that several
    processes may share, ``kafka://HOST:PORT[,HOST:PORT…]``, or ``memory:``, a new one within this
    process.

    Args:
        kafka: how to talk to a Kafka broker; without a login unless given.
        read_only: no file is made where there is none, and none is written into.

    Raises:
        BrokerError: the URL has another form, or the broker cannot be opened.
        SettingsError: a file that the options name cannot be used.

    >>> with open_broker("memory:") as broker:
    ...     broker.create_stream("samples")
    ...     broker.watermarks("samples", partition=0)
    Watermarks(low=0, high=0)
    """
    scheme, colon, rest = url.partition(":")
    # Not the whole URL: one day it may hold a password.
    problem = f"broker URL of scheme {scheme!r}" if colon else "broker URL without a scheme"
    match scheme:
        case "embedded" if rest.startswith("//"):
            problem = f"broker URL {url!r}, which has slashes where its path should begin"
        case "embedded" if rest:
            from si_stream.brokers.embedded import EmbeddedBroker

            return EmbeddedBroker(rest, read_only=read_only)
        case "kafka" if rest.startswith("//"):
            from si_stream.brokers.kafka.broker import KafkaBroker

            return KafkaBroker(rest.removeprefix("//"), kafka)
        case "memory" if colon and not rest:
            from si_stream.brokers.memory import MemoryBroker

            return MemoryBroker()
        case "embedded":
            problem = "broker URL, 'embedded:' without a file"
        case "kafka":
            problem = "broker URL, which begins with kafka: and not with kafka://"
    raise BrokerError(
        f"cannot open a {problem}; write embedded:PATH/TO/FILE, kafka://HOST:PORT or memory:"
    )
