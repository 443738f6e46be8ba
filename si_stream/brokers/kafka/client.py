"""How SI Stream's Kafka clients are set up: addresses, TLS, login and time limits.

Invariant: every connection, whatever it is for, is made with the same settings; a password is
in no message.
"""

from __future__ import annotations

import base64
import logging
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError, SettingsError

CLIENT_ID = "si-stream"
# Makes a client of kafka-python, and returns it with its view of the cluster's metadata.
Connect = Callable[[Callable[..., Any], dict[str, Any]], tuple[Any, Any]]
# The client library tells of every vain attempt, several times a second while a broker is away.
# What a person should know of it comes from this package; give the logger a level to hear all.
if (_library_logger := logging.getLogger("kafka")).level == logging.NOTSET:
    _library_logger.setLevel(logging.CRITICAL)


class Server(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Client:
    """What it takes to connect.

    ``tls`` and ``login`` are None where the listener asks for none; ``login`` holds the
    arguments by which kafka-python knows them.
    """

    servers: tuple[Server, ...]
    security_protocol: str
    tls: ssl.SSLContext | None
    login: dict[str, str] | None
    connect_timeout_seconds: float
    request_timeout_seconds: float

    def __str__(self) -> str:
        return f"kafka://{','.join(map(str, self.servers))}"

    def settings(self) -> dict[str, Any]:
        """The arguments that kafka-python's clients have in common."""
        return {
            "bootstrap_servers": [str(server) for server in self.servers],
            "client_id": CLIENT_ID,
            "security_protocol": self.security_protocol,
            "ssl_context": self.tls,
            **(self.login or {}),
            "bootstrap_timeout_ms": round(1000 * self.connect_timeout_seconds),
            "request_timeout_ms": round(1000 * self.request_timeout_seconds),
            # Kafka's 30 s would make a short outage long.
            "reconnect_backoff_max_ms": 500,
            # A topic made anew, or a partition added, is known after this time at the latest.
            "metadata_max_age_ms": 60_000,
        }


def make_client(addresses: str, options: KafkaOptions) -> Client:
    """The client for a URL's addresses, ``host:port[,host:port…]``.

    Raises:
        BrokerError: the addresses have another form, or the C crc32c is not installed.
        SettingsError: a file of the options cannot be used.
    """
    require_fast_checksums()
    tls = login = None
    if options.security_protocol.endswith("SSL"):
        tls = tls_context(options)
    if options.security_protocol.startswith("SASL"):
        login = {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.username or "",
            "sasl_plain_password": password_of(options),
        }
    return Client(
        servers_of(addresses),
        options.security_protocol,
        tls,
        login,
        options.connect_timeout_seconds,
        options.request_timeout_seconds,
    )


def servers_of(addresses: str) -> tuple[Server, ...]:
    """
    >>> servers_of("one:9092,[::1]:9093")
    (Server(host='one', port=9092), Server(host='::1', port=9093))
    """
    if "@" in addresses:
        raise BrokerError(
            "a kafka: URL holds no user and no password, which would show in logs; "
            "set kafka.username and kafka.password"
        )
    servers = []
    for address in addresses.split(","):
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
            raise BrokerError(
                f"cannot open a Kafka broker at {address!r}; write kafka://HOST:PORT, or several "
                "as kafka://HOST:PORT,HOST:PORT"
            )
        servers.append(Server(host, int(port)))
    return tuple(servers)


def tls_context(options: KafkaOptions) -> ssl.SSLContext:
    """Trusts the authority of the options, or this system's where none is named."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise _unusable("kafka.ca_file", options.ca_file, error) from None
    if options.certificate_file is not None:
        try:
            context.load_cert_chain(options.certificate_file, options.key_file)
        except OSError as error:
            files = f"{options.certificate_file}, {options.key_file or 'no kafka.key_file'}"
            raise _unusable("kafka.certificate_file", files, error) from None
    return context


def password_of(options: KafkaOptions) -> str:
    if options.password is not None:
        return options.password.get_secret_value()
    assert options.password_file is not None
    try:
        return options.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise _unusable("kafka.password_file", options.password_file, error) from None


def require_fast_checksums() -> None:
    try:
        import crc32c  # noqa: F401
    except ImportError:
        raise BrokerError(
            "the package crc32c is missing, without which Kafka is read 30 times slower; "
            "install it: pip install crc32c"
        ) from None


def stream_id_of(topic_id: uuid.UUID) -> str:
    """A topic's id as Kafka's own tools show it.

    >>> stream_id_of(uuid.UUID("d8389bcc-fc92-4fd7-bf96-2385c0380e42"))
    '2DibzPyST9e_liOFwDgOQg'
    """
    return base64.urlsafe_b64encode(topic_id.bytes).decode().rstrip("=")


def closing_on_failure(make: Callable[..., Any], settings: dict[str, Any]) -> tuple[Any, Any]:
    """A client of kafka-python and its cluster's metadata.

    Where it fails to connect it would leave a thread and its sockets behind: they are closed.
    """
    from kafka.net.compat import KafkaNetClient

    network: list[Any] = []

    def connect(**configs: Any) -> Any:
        network.append(KafkaNetClient(**configs))
        return network[0]

    try:
        return make(**settings, kafka_client=connect), network[0].cluster
    except BaseException:
        for one in network:
            one.close()
        raise


def _unusable(setting: str, value: str | Path | None, error: Exception) -> SettingsError:
    reason = getattr(error, "strerror", None) or error
    return SettingsError(f"{setting} = {value} cannot be used: {reason}")
