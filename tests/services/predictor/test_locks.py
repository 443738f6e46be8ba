"""A predictor with a token: what is locked, what stays open, and what each answer says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.predictor.locks import is_open
from services.web import tokens
from tests.services.predictor.serving import JSON, Running, Teacher, random_inputs, serving
from tests.services.predictor.test_problems import body

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def locked(teacher: Teacher) -> Iterator[Running]:
    with serving(teacher.store.epochs.parent, token=TOKEN) as running:
        running.wait_until_ready()
        yield running


def anonymous(running: Running) -> httpx.Client:
    return httpx.Client(base_url=running.url, timeout=30)


def test_every_documented_route_is_open_or_locked_as_the_document_says(locked: Running) -> None:
    document = locked.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    with anonymous(locked) as client:
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                with client.stream(method.upper(), path) as answer:
                    refused = answer.status_code == 401
                assert refused == ("security" in operation) == (not is_open(path)), path
                assert ("401" in operation["responses"]) == refused
        assert client.get("/what/comes/later").status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer another-token-of-the-tests", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN} x"],
)
def test_without_the_token_nothing_is_answered_and_nothing_is_read(
    authorization: str | None, locked: Running
) -> None:
    headers = {**JSON, "Authorization": authorization} if authorization else JSON
    with anonymous(locked) as client:
        answer = client.post("/predict", content=bytes(1_000_000), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:si-stream:problem:unauthorized"
    assert TOKEN not in answer.text


def test_a_token_that_is_sent_twice_is_none(locked: Running) -> None:
    twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
    with anonymous(locked) as client:
        assert client.get("/tasks", headers=twice).status_code == 401


def test_with_the_token_all_is_answered(locked: Running, teacher: Teacher) -> None:
    inputs = random_inputs(teacher.model, 2)
    assert locked.predict("digits-0-1", inputs).status_code == 200
    assert locked.predict_rows("digits-0-1", inputs).status_code == 200
    assert locked.client.get("/tasks").status_code == 200


def test_refusals_are_counted(locked: Running) -> None:
    with anonymous(locked) as client:
        assert client.get("/tasks").status_code == 401
        text = client.get("/metrics").text
    assert 'si_stream_http_requests_total{route="unknown",status="401"}' in text


def test_a_token_that_is_renewed_on_disk_counts_without_a_restart(
    teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.0)
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with serving(teacher.store.epochs.parent, token_file=file) as running:
        running.wait_until_ready()
        assert running.client.get("/tasks").status_code == 200
        file.write_text("the-next-token")
        assert running.client.get("/tasks").status_code == 401
        renewed = {"Authorization": "Bearer the-next-token"}
        assert running.client.get("/tasks", headers=renewed).status_code == 200


ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("path", "cached"),
    [
        ("/tasks", "no-store"),
        ("/metrics", "no-store"),
        ("/healthz/live", "no-store"),
        ("/openapi.json", "no-store"),
        ("/nowhere", "no-store"),
        ("/", "no-cache"),
        ("/samples?task=digits-0-1", "no-store"),
    ],
)
def test_each_answer_tells_a_browser_what_it_may_be_used_for(
    path: str, cached: str, predictor: Running
) -> None:
    answer = predictor.client.get(path, headers={"Origin": "https://example.org"})
    assert {name: answer.headers[name] for name in ALWAYS} == ALWAYS
    assert answer.headers.get_list("cache-control") == [cached]
    [policy] = answer.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_prediction_says_so_too(predictor: Running) -> None:
    answer = predictor.client.post("/predict", content=body(), headers=JSON)
    assert answer.status_code == 200
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert {name: answer.headers[name] for name in ALWAYS} == ALWAYS


def test_who_asks_too_often_waits_and_probes_do_not(teacher: Teacher) -> None:
    with serving(teacher.store.epochs.parent, max_requests_per_second=0.01) as running:
        running.wait_until_ready()
        assert running.client.get("/tasks").status_code == 200  # one at once
        answer = running.client.get("/tasks")
        assert answer.status_code == 429
        assert answer.json()["type"] == "urn:si-stream:problem:too-many-requests"
        assert 1 < int(answer.headers["retry-after"]) <= 100
        assert running.client.get("/healthz/ready").status_code == 200
        # Without a proxy that is trusted, whom a header names does not count.
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        assert running.client.get("/tasks", headers=forwarded).status_code == 429


def test_behind_a_proxy_that_is_trusted_each_client_has_a_rate_of_its_own(
    teacher: Teacher,
) -> None:
    options = {"max_requests_per_second": 0.01, "trusted_proxies": ("127.0.0.0/8",)}
    with serving(teacher.store.epochs.parent, **options) as running:
        running.wait_until_ready()
        for client, status in (("203.0.113.9", 200), ("203.0.113.9", 429), ("203.0.113.8", 200)):
            forwarded = {"X-Forwarded-For": f"198.51.100.1, {client}"}  # the first is the client's
            assert running.client.get("/tasks", headers=forwarded).status_code == status
