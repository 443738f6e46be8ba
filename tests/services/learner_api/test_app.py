"""What a learner answers over HTTP: metrics, health, and boundaries that operators ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from fastapi.openapi.models import OpenAPI

from si_stream.brokers.memory import MemoryBroker
from si_stream.errors import SettingsError
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Boundary, End, Message, SampleSchema
from tests.services.learner_api.serving import answers
from tests.services.statuses import a_status
from tests.streams import STREAM, enveloped, learn, memory_broker, samples, settings

TOKEN = "open sesame"
ROUTES = {
    "/boundaries",
    "/health",
    "/journal",
    "/journal/former",
    "/metrics",
    "/samples",
    "/snapshots/newest",
    "/snapshots/{epoch}/{name}",
}


@pytest.fixture
def broker() -> MemoryBroker:
    return memory_broker([samples(8, task="a")], [samples(8, 10, task="a")])


@pytest.fixture
def address(broker: MemoryBroker) -> Iterator[str]:
    with answers(broker=broker, token=TOKEN) as served:
        yield served


def asked(
    address: str, body: bytes = b"{}", token: str | None = TOKEN, path: str = "/boundaries"
) -> tuple[int, dict[str, Any]]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = Request(address + path, body, headers, method="POST")
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            answer = json.load(error)
            return error.code, answer | {"media_type": error.headers["Content-Type"]}


def held(broker: MemoryBroker) -> list[tuple[int, Message]]:
    """All messages behind the first of each partition."""
    with broker.reader(STREAM, {0: 1, 1: 1}) as reader:
        schema = SampleSchema((4,), "uint8", 3)
        return [(r.partition, decode(r.headers, r.value, schema, 10**6)) for r in reader.poll(0)]


def test_metrics_and_health_are_at_their_paths(address: str) -> None:
    with urlopen(address + "/metrics", timeout=30) as answer:
        assert b"asked_total 1.0" in answer.read()
    with urlopen(address + "/health", timeout=30) as answer:
        assert json.load(answer) == a_status().model_dump(mode="json")


def test_a_boundary_that_is_asked_for_is_a_message_in_every_partition(
    address: str, broker: MemoryBroker
) -> None:
    status, answer = asked(address, b'{"event_id": "e-1", "next_task": "b"}')
    assert (status, answer) == (202, {"event_id": "e-1", "offsets": {"0": 1, "1": 1}})
    assert held(broker) == [(n, Boundary("e-1", next_task="b")) for n in (0, 1)]


def test_without_an_event_id_it_gets_one(address: str, broker: MemoryBroker) -> None:
    _, answer = asked(address, b"")
    assert [message for _, message in held(broker)] == [Boundary(answer["event_id"])] * 2


def test_the_same_event_id_asked_for_twice_acts_once(address: str, broker: MemoryBroker) -> None:
    for _ in range(2):
        assert asked(address, b'{"event_id": "e-1"}')[0] == 202
    for partition in (0, 1):
        broker.append(STREAM, partition, enveloped([End("end")]))
    state, _ = learn(broker, settings())
    assert (state.ledger.samples, state.ledger.consolidations) == (16, 1)


REFUSED = {
    "no token": (b"{}", None, 401, "Authorization: Bearer TOKEN"),
    "another token": (b"{}", "open", 401, "Authorization: Bearer TOKEN"),
    "no JSON": (b"{", TOKEN, 400, 'send {} or {"event_id"'),
    "another member": (b'{"task": 1}', TOKEN, 400, 'send {} or {"event_id"'),
    "an empty id": (b'{"event_id": ""}', TOKEN, 400, 'send {} or {"event_id"'),
    "too long a name": (b'{"next_task": "%s"}' % (b"x" * 5000), TOKEN, 400, "send {} or"),
    "too large": (b" " * 70_000, TOKEN, 413, "the limit is 65536 bytes"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_may_not_be_or_cannot_be_read_is_a_problem_and_sends_nothing(
    reason: str, address: str, broker: MemoryBroker
) -> None:
    body, token, status, detail = REFUSED[reason]
    answered, answer = asked(address, body, token)
    assert answered == answer["status"] == status
    assert answer["type"].startswith("urn:si-stream:problem:")
    assert answer["media_type"] == "application/problem+json"
    assert detail in answer["detail"]
    assert held(broker) == []


def test_without_a_token_in_the_settings_nobody_may(broker: MemoryBroker) -> None:
    with answers(broker=broker) as address:
        status, answer = asked(address, token="")
    assert status == answer["status"] == 403
    assert "set learner.token" in answer["detail"]
    assert held(broker) == []


def test_the_token_may_come_from_a_file(broker: MemoryBroker, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with answers(broker=broker, token_file=file) as address:
        assert asked(address)[0] == 202
    file.write_text("")
    with pytest.raises(SettingsError, match="is empty"), answers(broker=broker, token_file=file):
        pass


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/", 404, "GET /openapi.json"),
        ("GET", "/metrics/", 404, "/metrics/"),
        ("GET", "/boundaries", 405, "use POST"),
        ("POST", "/metrics", 405, "use GET"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    method: str, path: str, status: int, says: str, address: str
) -> None:
    with pytest.raises(HTTPError) as refused, urlopen(Request(address + path, method=method)):
        pass
    with refused.value as error:
        assert (error.code, error.headers["Content-Type"]) == (status, "application/problem+json")
        assert says in json.load(error)["detail"]


def test_the_document_describes_every_route_and_every_problem(address: str) -> None:
    with urlopen(address + "/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    OpenAPI.model_validate(document)
    assert document["paths"].keys() == ROUTES
    assert "Problem" in document["components"]["schemas"]
    responses = document["paths"]["/boundaries"]["post"]["responses"]
    assert {"202", "400", "401", "403", "413", "429", "500", "503"} == responses.keys()


def test_metrics_are_open_metrics_where_that_is_asked_for(address: str) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    with urlopen(Request(address + "/metrics", headers=accept), timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")
