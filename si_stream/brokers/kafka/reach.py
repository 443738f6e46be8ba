"""Why a Kafka broker cannot be used: the client library calls every cause the same time-out.

The steps towards it are taken one by one, as the client takes them: name, connection, TLS, the
protocol, the login. Invariant: nothing is asked of the broker that changes anything there.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.broker_version_data import BrokerVersionData
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from si_stream.brokers.kafka.client import Client, Server
from si_stream.errors import BrokerError

_RETRY_SECONDS = 0.2
_NO_ANSWER = (OSError, KafkaError, ValueError, struct.error)


class NotThere(BrokerError):
    """Nobody answers; waiting may help, unlike with a wrong password."""


def wait_for_broker(client: Client) -> None:
    """Return once one of the client's servers can be used.

    Raises:
        BrokerError: at once what only a person can mend, or after the client's time limit who
            does not answer and why.
    """
    deadline = time.monotonic() + client.connect_timeout_seconds
    while True:
        faults = []
        for server in client.servers:
            remaining = max(deadline - time.monotonic(), _RETRY_SECONDS)
            try:
                advertised = ask_for_brokers(client, server, remaining / len(client.servers))
                require_one_reachable(client, server, advertised, remaining)
            except NotThere as fault:
                faults.append(str(fault))
            else:
                return
        if time.monotonic() >= deadline:
            raise NotThere("; ".join(faults))
        time.sleep(_RETRY_SECONDS)


def fault(client: Client, timeout_seconds: float) -> BrokerError | None:
    """What is wrong now with all of the client's servers; None where one can be used."""
    faults: list[BrokerError] = []
    for server in client.servers:
        try:
            ask_for_brokers(client, server, timeout_seconds / len(client.servers))
        except BrokerError as error:
            faults.append(error)
        else:
            return None
    return faults[0]


def ask_for_brokers(client: Client, server: Server, timeout_seconds: float) -> list[Server]:
    """The addresses at which the server says that its cluster's brokers are reached.

    Raises:
        NotThere: nothing answers at the server's address.
        BrokerError: it is not one for this client, or refuses it.
    """
    place = f"kafka://{server}"
    with (
        _connected(place, server, timeout_seconds) as plain,
        _secured(place, plain, client, server) as connection,
    ):
        conversation = _Conversation(connection)
        _greet(place, conversation, client)
        if client.login is not None:
            _log_in(place, conversation, client)
        return _brokers(place, conversation, client)


def require_one_reachable(
    client: Client, server: Server, advertised: Sequence[Server], timeout_seconds: float
) -> None:
    """Check that one of the advertised addresses takes connections from this machine."""
    if not advertised:
        raise NotThere(f"kafka://{server} answers, but its cluster has no broker ready yet")
    refusals = []
    for other in advertised:
        if other in client.servers:
            return
        try:
            socket.create_connection(other, timeout_seconds / len(advertised)).close()
        except OSError as error:
            refusals.append(f"{other} ({error.strerror or error})")
        else:
            return
    raise NotThere(
        f"kafka://{server} answers, but tells clients to go on to {', '.join(refusals)}, which "
        "cannot be reached from here; correct advertised.listeners in the broker's settings"
    )


class _Conversation:
    """One request after another over a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._protocol = KafkaProtocol(client_id="si-stream")
        self.versions: Any = None

    def ask(self, request: Any) -> Any:
        if request.API_VERSION is None:
            request.API_VERSION = self.versions.api_version(request)
        self._protocol.send_request(request)
        self._connection.sendall(self._protocol.send_bytes())
        while True:
            received = self._connection.recv(65536)
            if not received:
                raise ConnectionResetError("it closes the connection")
            for _, response in self._protocol.receive_bytes(received):
                return response


@contextmanager
def _connected(place: str, server: Server, timeout_seconds: float) -> Iterator[socket.socket]:
    try:
        connection = socket.create_connection(server, timeout_seconds)
    except socket.gaierror as error:
        raise NotThere(
            f"{place} cannot be reached, its name is not known ({error.strerror}); "
            "check the broker's URL"
        ) from None
    except TimeoutError:
        raise NotThere(
            f"{place} cannot be reached, it does not answer within {timeout_seconds:.1f} s; "
            "check the broker's URL and the firewalls in between"
        ) from None
    except OSError as error:
        raise NotThere(
            f"{place} cannot be reached ({error.strerror}); is the broker running, and is this "
            "its port?"
        ) from None
    with connection:
        yield connection


@contextmanager
def _secured(
    place: str, plain: socket.socket, client: Client, server: Server
) -> Iterator[socket.socket]:
    if client.tls is None:
        yield plain
        return
    try:
        secured = client.tls.wrap_socket(plain, server_hostname=server.host)
    except ssl.SSLCertVerificationError as error:
        advice = (
            "name its authority's certificate in kafka.ca_file"
            if "ostname" not in error.verify_message and "IP address" not in error.verify_message
            else "take a name that is in it into the broker's URL"
        )
        raise BrokerError(
            f"{place} shows a certificate that is not to be trusted ({error.verify_message}); "
            f"{advice}"
        ) from None
    except TimeoutError:
        raise NotThere(
            f"{place} takes connections and does not answer; is it overloaded?"
        ) from None
    except OSError as error:
        raise BrokerError(
            f"{place} speaks no TLS ({_reason(error)}), which kafka.security_protocol = "
            f"{client.security_protocol} asks for; is this a listener without TLS?"
        ) from None
    with secured:
        yield secured


def _greet(place: str, conversation: _Conversation, client: Client) -> None:
    try:
        answer = conversation.ask(ApiVersionsRequest(version=0))
        conversation.versions = BrokerVersionData(
            api_versions={
                api.api_key: (api.min_version, api.max_version) for api in answer.api_keys
            }
        )
    except TimeoutError:
        raise NotThere(
            f"{place} takes connections and does not answer; is it overloaded?"
        ) from None
    except _NO_ANSWER as error:
        with_tls = "a client certificate (kafka.certificate_file)" if client.tls else "TLS"
        raise BrokerError(
            f"{place} does not answer as a Kafka broker ({_reason(error)}), with "
            f"kafka.security_protocol = {client.security_protocol}; does it ask for {with_tls}, or "
            "is this another program's port?"
        ) from None


def _log_in(place: str, conversation: _Conversation, client: Client) -> None:
    assert client.login is not None
    mechanism_name = client.login["sasl_mechanism"]
    try:
        offer = conversation.ask(SaslHandshakeRequest(mechanism=mechanism_name, version=1))
        if offer.error_code and not offer.mechanisms:
            raise BrokerError(
                f"{place} asks for no password ({for_code(offer.error_code).__name__}); is this "
                f"the listener for kafka.security_protocol = {client.security_protocol}?"
            )
        if offer.error_code:
            raise BrokerError(
                f"{place} takes {' or '.join(offer.mechanisms)}, not {mechanism_name}; "
                "set kafka.sasl_mechanism"
            )
        mechanism = get_sasl_mechanism(mechanism_name)(**client.login)
        while not mechanism.is_done():
            token = mechanism.auth_bytes()
            answer = conversation.ask(SaslAuthenticateRequest(auth_bytes=token, version=0))
            if answer.error_code:
                raise BrokerError(
                    f"{place} refuses the user {client.login['sasl_plain_username']!r} "
                    f"({answer.error_message}); check kafka.username and kafka.password"
                )
            mechanism.receive(answer.auth_bytes)
    except _NO_ANSWER as error:
        raise NotThere(f"{place} broke off the login ({_reason(error)})") from None


def _brokers(place: str, conversation: _Conversation, client: Client) -> list[Server]:
    try:
        answer = conversation.ask(MetadataRequest(topics=[], allow_auto_topic_creation=False))
    except IncompatibleBrokerVersion:
        raise BrokerError(
            f"{place} is a Kafka controller, which keeps no records; take the port of a broker"
        ) from None
    except _NO_ANSWER as error:
        if client.login is None:
            raise BrokerError(
                f"{place} tells nothing without a login ({_reason(error)}); set "
                "kafka.security_protocol to SASL_SSL or SASL_PLAINTEXT, kafka.username and "
                "kafka.password"
            ) from None
        raise NotThere(f"{place} broke off ({_reason(error)})") from None
    return [Server(broker.host, broker.port) for broker in answer.brokers]


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, KafkaError) and error.args:
        return str(error.args[0])
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
