from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.local_broker import LocalBroker
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.brokers.kafka.client import Server, make_client
from si_stream.brokers.kafka.reach import NotThere, require_one_reachable, wait_for_broker
from si_stream.brokers.options import KafkaOptions
from si_stream.errors import BrokerError, StreamNotFound


@pytest.fixture
def login(local_kafka: LocalBroker) -> dict[str, Any]:
    """What the broker's secure listener asks for."""
    assert local_kafka.login is not None
    return {
        "security_protocol": "SASL_SSL",
        "username": local_kafka.login.user,
        "password": local_kafka.login.password,
        "ca_file": local_kafka.certificate,
    }


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that no other program gets it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def refusal(address: str, **given: Any) -> str:
    options = KafkaOptions(connect_timeout_seconds=1, **given)
    with pytest.raises(BrokerError) as caught:
        KafkaBroker(address, options)
    assert str(caught.value).startswith(f"kafka://{address} ")
    assert "only-for-tests" not in str(caught.value)
    return str(caught.value)


def test_the_right_login_and_certificate_open_a_secure_broker(
    local_kafka: LocalBroker, login: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{login.pop('password')}\n")
    options = KafkaOptions(**login, password_file=tmp_path / "password")
    with KafkaBroker(local_kafka.secure_server, options) as broker:
        broker.create_stream("secure")
        assert broker.partitions("secure") == 1


def test_a_wrong_password_an_untrusted_certificate_and_no_broker_are_told_apart(
    local_kafka: LocalBroker, login: dict[str, Any], closed_port: int
) -> None:
    secure = local_kafka.secure_server
    wrong_password = refusal(secure, **{**login, "password": "guessed"})
    untrusted = refusal(secure, **{**login, "ca_file": None})
    nobody = refusal(f"127.0.0.1:{closed_port}", **login)
    assert "refuses the user 'learner'" in wrong_password
    assert "check kafka.username and kafka.password" in wrong_password
    assert "certificate that is not to be trusted (self-signed certificate)" in untrusted
    assert "name its authority's certificate in kafka.ca_file" in untrusted
    assert "cannot be reached (Connection refused); is the broker running" in nobody


def test_a_certificate_for_another_name_is_told_as_such(
    local_kafka: LocalBroker, login: dict[str, Any]
) -> None:
    port = local_kafka.secure_server.partition(":")[2]
    with socket.create_server(("127.0.0.2", 0)) as relay:
        thread = threading.Thread(target=pass_on, args=(relay, int(port)), daemon=True)
        thread.start()
        message = refusal(f"127.0.0.2:{relay.getsockname()[1]}", **login)
        thread.join()
    assert "take a name that is in it into the broker's URL" in message


def pass_on(relay: socket.socket, port: int) -> None:
    """Both ways between one connection to the relay and the port, until either side ends it."""
    accepted, _ = relay.accept()
    with accepted, socket.create_connection(("127.0.0.1", port)) as onward:

        def pump(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

        back = threading.Thread(target=pump, args=(onward, accepted))
        back.start()
        pump(accepted, onward)
        back.join()


def test_a_listener_of_another_kind_is_told_as_such(
    local_kafka: LocalBroker, login: dict[str, Any]
) -> None:
    plain, secure = local_kafka.server, local_kafka.secure_server
    assert "speaks no TLS" in refusal(plain, **login)
    assert "does it ask for TLS" in refusal(secure)
    no_login = {key: login[key] for key in ("ca_file",)}
    assert "tells nothing without a login" in refusal(secure, security_protocol="SSL", **no_login)
    asked = refusal(plain, **{**login, "security_protocol": "SASL_PLAINTEXT"})
    assert "asks for no password" in asked
    other = refusal(secure, **{**login, "sasl_mechanism": "SCRAM-SHA-256"})
    assert "takes PLAIN, not SCRAM-SHA-256; set kafka.sasl_mechanism" in other


def test_an_unknown_name_is_told_as_such() -> None:
    assert "its name is not known" in refusal("no-such-host.invalid:9092")


def test_one_that_takes_connections_and_never_answers_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        message = refusal(f"127.0.0.1:{silent.getsockname()[1]}")
    assert "takes connections and does not answer" in message


def test_another_program_is_told_as_such() -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        message = refusal(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert "does not answer as a Kafka broker" in message


def test_one_server_of_several_that_answers_is_enough(kafka_url: str, closed_port: int) -> None:
    addresses = f"127.0.0.1:{closed_port},{kafka_url.removeprefix('kafka://')}"
    with KafkaBroker(addresses) as broker, pytest.raises(StreamNotFound):
        broker.partitions("no-such-stream")


def test_addresses_that_a_broker_advertises_and_nobody_reaches_are_named(closed_port: int) -> None:
    client = make_client("localhost:9092", KafkaOptions())
    elsewhere = Server("127.0.0.1", closed_port)
    with pytest.raises(NotThere, match=rf"{elsewhere} \(Connection refused\).*advertised"):
        require_one_reachable(client, client.servers[0], [elsewhere], timeout_seconds=1)
    require_one_reachable(client, client.servers[0], [elsewhere, client.servers[0]], 1)


def test_a_broker_that_starts_at_the_same_time_is_waited_for(kafka_url: str) -> None:
    with socket.socket() as later:
        later.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{later.getsockname()[1]}"
        broker_port = int(kafka_url.partition(",")[0].rpartition(":")[2])
        client = make_client(address, KafkaOptions(connect_timeout_seconds=60))

        def start() -> None:
            later.listen()
            pass_on(later, broker_port)

        timer = threading.Timer(0.5, start)
        timer.start()
        wait_for_broker(client)
        timer.join()
