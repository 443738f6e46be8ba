"""Ports that are taken, by others and by our own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.boundary_requests import BoundaryRequests
from services.doctor.ports import look
from services.learner_pages import Pages, served_pages
from services.processes import Child
from si_stream.settings import Settings
from tests.services.doctor.models import state_of
from tests.services.learner_process import wait_for_metrics
from tests.services.statuses import a_status
from tests.streams import memory_broker, settings


def with_port(who: str, port: int, host: str = "127.0.0.1") -> Settings:
    groups: dict[str, dict[str, Any]] = {"learner": {}, "predictor": {"port": 0}}
    names = ("metrics_host", "metrics_port") if who == "learner" else ("host", "port")
    groups[who] = dict(zip(names, (host, port), strict=True))
    return settings(learner=groups["learner"], predictor=groups["predictor"])


WHO = pytest.mark.parametrize("who", ["learner", "predictor"])


@WHO
def test_a_port_that_is_free_stays_so(who: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert (
        state_of(look(with_port(who, port)), f"ports: {who}")[1]
        == f"{port} of 127.0.0.1 is free → "
    )
    socket.create_server(("127.0.0.1", port)).close()
    assert state_of(look(with_port(who, 0)), f"ports: {who}")[0] == "ok"


class Other(BaseHTTPRequestHandler):
    """Of another program, which answers everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"of": "another"}')

    def log_message(self, *arguments: Any) -> None:
        """No line for each request."""


@pytest.fixture
def other() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@WHO
def test_a_port_of_another_program_is_told_of(who: str, other: int) -> None:
    kind, text = state_of(look(with_port(who, other)), f"ports: {who}")
    assert kind == "fail"
    setting = {"learner": "learner.metrics_port", "predictor": "predictor.port"}[who]
    assert "is in use by another program → " in text
    assert text.endswith(f"or set {setting}")


def test_one_that_speaks_no_http_is_another_programs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1024)
                connection.sendall(b"220 welcome\r\n")

        thread = Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        assert state_of(look(with_port("learner", port)), "ports: learner")[0] == "fail"
        thread.join()


def test_a_port_of_our_learner_is_well() -> None:
    asked = BoundaryRequests(settings(), memory_broker([]))
    with served_pages("127.0.0.1", 0, Pages(CollectorRegistry(), a_status, asked)) as address:
        port = int(address.removesuffix("/metrics").rpartition(":")[2])
        kind, text = state_of(look(with_port("learner", port)), "ports: learner")
    assert (kind, text) == ("ok", f"{port} of 127.0.0.1 is answered by a learner: learning → ")


def test_a_port_of_our_predictor_is_well(started: list[Child]) -> None:
    started.append(child := Child("predictor", settings=with_port("predictor", 0)))
    wait_for_metrics(child)
    assert child.address is not None
    port = int(child.address.rpartition(":")[2])
    kind, text = state_of(look(with_port("predictor", port)), "ports: predictor")
    assert (kind, text) == ("ok", f"{port} of 127.0.0.1 is answered by a predictor: live → ")


@WHO
def test_an_address_of_another_machine_is_told_of(who: str) -> None:
    kind, text = state_of(look(with_port(who, 4242, "192.0.2.1")), f"ports: {who}")
    assert kind == "fail"
    assert "cannot be listened on: " in text
