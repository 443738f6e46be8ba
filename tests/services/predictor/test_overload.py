"""More requests than can be answered, and those that nobody waits for any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
import pytest

from tests.services.predictor.held_up import LARGE, held_up, serving_held
from tests.services.predictor.open_inference.asking import as_json
from tests.services.predictor.serving import ROWS, Running, wait_for
from tests.services.predictor.test_metrics import value

PREDICT = "/predict?task=digits-0-1"
INFER = "/v2/models/si-stream/digits-0-1/infer"
BODY = bytes(4 * LARGE)
REJECTED = "si_stream_prediction_requests_rejected_total"


class Asking:
    """Requests that are under way."""

    def __init__(self, predictor: Running, pool: ThreadPoolExecutor) -> None:
        self.predictor = predictor
        self.pool = pool

    def ask(self, headers: Mapping[str, str] = MappingProxyType({})) -> Future[httpx.Response]:
        """On a connection of its own."""
        url = self.predictor.url + PREDICT
        return self.pool.submit(
            httpx.post, url, content=BODY, headers={**ROWS, **headers}, timeout=60
        )

    def wait_until_in(self, count: int) -> None:
        wait_for(lambda: value(self.predictor, "si_stream_prediction_requests_waiting") == count)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def head(length: int = len(BODY)) -> bytes:
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
    lines += [f"{name}: {text}" for name, text in ROWS.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def problem_of(response: httpx.Response) -> str:
    details = response.json()
    assert details["status"] == response.status_code
    assert details["error"] == details["detail"]
    name: str = details["type"].removeprefix("urn:si-stream:problem:")
    return name


def test_one_too_many_is_refused_before_its_body_is_sent_and_the_others_are_answered(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with serving_held(tmp_path, max_waiting=3) as predictor:
        asking = Asking(predictor, pool)
        with held_up():
            answers = [asking.ask() for _ in range(3)]
            asking.wait_until_in(3)
            with predictor.connect() as connection:
                connection.sendall(head())
                refused = connection.recv(65536)
            assert refused.startswith(b"HTTP/1.1 429 ")
            assert b"\r\nretry-after: 1\r\n" in refused.lower()
            assert (
                b"3 requests are waiting, and no more are let in (predictor.max_waiting)" in refused
            )
            inference = predictor.client.post(INFER, json=as_json(np.zeros((1, 4), np.uint8)))
            assert (inference.status_code, problem_of(inference)) == (429, "overloaded")
            for path in (
                "/healthz/live",
                "/healthz/ready",
                "/metrics",
                "/v2/health/ready",
                "/tasks",
            ):
                assert predictor.client.get(path).status_code == 200
            assert value(predictor, REJECTED, reason="overloaded") == 2
        assert [answer.result().status_code for answer in answers] == [200, 200, 200]
        assert value(predictor, "si_stream_prediction_requests_waiting") == 0
        assert value(predictor, "si_stream_prediction_wait_seconds_sum") > 0
        assert value(predictor, "si_stream_prediction_wait_seconds_count") == 3


@pytest.mark.parametrize(
    ("setting", "header"),
    [
        (0.3, {}),
        (60.0, {"Deadline-Seconds": "0.3"}),
        (0.3, {"Deadline-Seconds": "60"}),
    ],
)
def test_a_request_whose_deadline_passes_while_it_waits_is_told_so_and_not_computed(
    setting: float, header: dict[str, str], tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with serving_held(tmp_path, deadline_seconds=setting) as predictor:
        asking = Asking(predictor, pool)
        with held_up():
            first = asking.ask()
            asking.wait_until_in(1)
            late = asking.ask(headers=header).result()  # comes while the first is still held up
        assert (late.status_code, problem_of(late)) == (504, "deadline-passed")
        assert first.result().status_code == 200
        assert value(predictor, "si_stream_predictions_total") == LARGE
        assert value(predictor, REJECTED, reason="deadline-passed") == 1


def test_the_timeout_of_an_inference_request_is_a_deadline_in_microseconds(tmp_path: Path) -> None:
    with serving_held(tmp_path) as predictor:

        def infer(timeout: int) -> httpx.Response:
            request = as_json(np.zeros((1, 4), np.uint8), parameters={"timeout": timeout})
            return predictor.client.post(INFER, json=request)

        late = infer(1)
        assert (late.status_code, problem_of(late)) == (504, "deadline-passed")
        assert infer(60_000_000).status_code == infer(0).status_code == 200
        assert value(predictor, "si_stream_predictions_total") == 2


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf", "1_0", "1e-999", ""])
def test_a_deadline_that_is_none_is_refused(given: str, tmp_path: Path) -> None:
    with serving_held(tmp_path) as predictor:
        headers = ROWS | {"Deadline-Seconds": given}
        response = predictor.client.post(PREDICT, content=bytes(4), headers=headers)
        assert (response.status_code, problem_of(response)) == (400, "malformed-request")
        assert f"the header Deadline-Seconds is {given!r}" in response.json()["error"]


def test_a_client_that_has_gone_away_while_it_waited_is_not_computed_for(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with serving_held(tmp_path) as predictor:
        asking = Asking(predictor, pool)
        with held_up():
            first = asking.ask()
            asking.wait_until_in(1)
            with predictor.connect() as connection:
                connection.sendall(head() + BODY)
                asking.wait_until_in(2)
            last = asking.ask()
            asking.wait_until_in(3)
        assert first.result().status_code == last.result().status_code == 200
        assert value(predictor, "si_stream_predictions_total") == 2 * LARGE
        assert value(predictor, REJECTED, reason="client-gone") == 1
        gone = value(predictor, "si_stream_http_requests_total", route="/predict", status="499")
        assert gone == 1


def test_a_body_that_does_not_come_in_time_is_waited_for_no_longer(tmp_path: Path) -> None:
    with serving_held(tmp_path, deadline_seconds=0.05) as predictor, predictor.connect() as slow:
        slow.sendall(head() + BODY[:100])
        answer = b""
        while piece := slow.recv(65536):  # the server closes the connection
            answer += piece
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body has not come until" in answer
        assert value(predictor, REJECTED, reason="body-too-slow") == 1
        assert value(predictor, "si_stream_prediction_requests_waiting") == 0


def test_on_shutdown_what_was_taken_in_is_answered_and_new_requests_are_sent_elsewhere(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with serving_held(tmp_path) as predictor:
        asking = Asking(predictor, pool)
        with held_up(), httpx.Client(base_url=predictor.url) as early, predictor.connect() as probe:
            assert early.get("/healthz/ready").status_code == 200
            answers = [asking.ask() for _ in range(3)]
            asking.wait_until_in(3)
            predictor.server.should_exit = True
            wait_for(lambda: refuses_connections(predictor))
            new = early.post(PREDICT, content=bytes(4), headers=ROWS)
            assert (new.status_code, problem_of(new)) == (503, "shutting-down")
            assert new.headers["connection"] == "close"
            assert int(new.headers["retry-after"]) > 0
            probe.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert probe.recv(65536).startswith(b"HTTP/1.1 503 ")
            assert predictor.client.get("/healthz/live").status_code == 200
            assert value(predictor, REJECTED, reason="shutting-down") == 1
            assert predictor.thread.is_alive()
        assert [answer.result().status_code for answer in answers] == [200, 200, 200]
        predictor.thread.join()


def refuses_connections(predictor: Running) -> bool:
    try:
        predictor.connect().close()
    except OSError:
        return True
    return False


def test_whatever_comes_at_once_is_answered_or_refused_and_nothing_stays_behind(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """Small requests, which the event loop computes: it is held up by the first of them."""
    with serving_held(tmp_path, max_waiting=4) as predictor:
        together = [predictor.connect() for _ in range(12)]
        answers: list[bytes] = []

        def receive(connection: socket.socket) -> bytes:
            with connection:
                return connection.recv(65536)

        with held_up():
            for connection in together:
                connection.sendall(head(4) + bytes(4))
            futures = [pool.submit(receive, connection) for connection in together]
            threading.Event().wait(0.05)  # most of them lie in their sockets by now
        answers = [future.result() for future in futures]
        statuses = [int(answer.split()[1]) for answer in answers]
        assert set(statuses) <= {200, 429}
        assert statuses.count(200) >= 4
        assert value(predictor, "si_stream_predictions_total") == statuses.count(200)
        assert value(predictor, REJECTED, reason="overloaded") == statuses.count(429)
        assert value(predictor, "si_stream_prediction_requests_waiting") == 0


def test_the_reasons_are_counted_from_zero_on(tmp_path: Path) -> None:
    with serving_held(tmp_path) as predictor:
        reasons: Any = [
            line.partition('reason="')[2].partition('"')[0]
            for line in predictor.client.get("/metrics").text.splitlines()
            if line.startswith(REJECTED) and line.endswith(" 0.0")
        ]
    assert sorted(reasons) == [
        "body-too-slow",
        "client-gone",
        "deadline-passed",
        "no-snapshot-yet",
        "overloaded",
        "shutting-down",
    ]
