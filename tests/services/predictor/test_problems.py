"""What clients should not send: always a problem that helps, never a failure of the predictor."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.predictor.problems import ALL_KINDS, KINDS
from services.web.problems import INTERNAL_ERROR, METHOD_NOT_ALLOWED, UNKNOWN_ROUTE
from si_stream.errors import PredictionError
from tests.services.predictor.serving import (
    JSON,
    ROWS,
    Running,
    Teacher,
    model_options,
    serving,
)

TYPES = {kind.type: kind for kind in (*KINDS.values(), UNKNOWN_ROUTE, METHOD_NOT_ALLOWED)}
QUERY = "?task=digits-0-1"


def the_problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    details: dict[str, Any] = response.json()
    assert details.keys() == {"type", "title", "status", "detail", "error"}
    assert details["error"] == details["detail"]
    assert details["detail"]
    kind = TYPES[details["type"]]
    assert (response.status_code, details["status"]) == (kind.status, kind.status)
    assert details["title"] == kind.title
    assert "Traceback" not in response.text
    return details


class Bad(NamedTuple):
    name: str
    content: bytes
    problem: str
    says: tuple[str, ...]
    headers: dict[str, str] = JSON
    query: str = ""


def body(inputs: object = ((1, 2, 3, 4),), **members: object) -> bytes:
    return json.dumps({"task": "digits-0-1", "inputs": inputs, **members}).encode()


def raw(inputs: str) -> bytes:
    return f'{{"task": "digits-0-1", "inputs": {inputs}}}'.encode()


UINT8 = "the model takes uint8: an integer from 0 to 255"
BAD = [
    Bad("nothing", b"", "malformed-request", ("not JSON",)),
    Bad("not JSON", b"1, 2", "malformed-request", ("not JSON",)),
    Bad("JSON and more", body() + b"}", "malformed-request", ("not JSON",)),
    Bad("half of it", body()[:-1], "malformed-request", ("not JSON",)),
    Bad("not UTF-8", b'{"task": "\xff"}', "malformed-request", ("not JSON in UTF-8",)),
    Bad("UTF-16", body().decode().encode("utf-16"), "malformed-request", ("not JSON in UTF-8",)),
    Bad("a number", b"1", "malformed-request", ("must be an object",)),
    Bad("a list", b"[[1, 2, 3, 4]]", "malformed-request", ("must be an object, not list",)),
    Bad("null", b"null", "malformed-request", ("must be an object",)),
    Bad("nested deeply", b"[" * 10_000, "malformed-request", ("nested too deeply",)),
    Bad("inputs nested deeply", raw("[" * 9_000), "malformed-request", ("nested too deeply",)),
    Bad("objects nested deeply", b'{"a":' * 3_000, "malformed-request", ("nested too deeply",)),
    Bad("an unknown member", body(inputz=1), "malformed-request", ("'inputz'", "inputs", "task")),
    Bad("a lone surrogate", b'{"\\ud800": 1}', "malformed-request", ("\\ud800",)),
    Bad("a member twice", b'{"inputs": [], "inputs": []}', "malformed-request", ("twice",)),
    Bad("no inputs", b'{"task": "digits-0-1"}', "malformed-request", ("inputs is missing",)),
    Bad("a huge number", raw(f"[[{'9' * 5_000}, 2, 3, 4]]"), "malformed-request", ("digits",)),
    Bad("a task that is a number", body(task=1), "malformed-request", ("text, not a number",)),
    Bad("a task that is a list", body(task=["a"]), "malformed-request", ("text, not a list",)),
    Bad("a task in the query", body(), "malformed-request", ("member of the body",), query=QUERY),
    Bad("an unknown task", body(task="cats"), "unknown-task", ("'cats'", "digits-2-3", "1.3")),
    Bad("a task's empty name", body(task=""), "unknown-task", ("''",)),
    Bad("a surrogate for a task", body(task="\ud800"), "unknown-task", ("\\ud800",)),
    Bad("a task of 10,000 letters", body(task="x" * 10_000), "unknown-task", ("digits-0-1",)),
    Bad("no task", b'{"inputs": [[1, 2, 3, 4]]}', "unknown-task", ("no task", "digits-0-1")),
    Bad("inputs that are null", body(None), "wrong-input", ("not null", "[4]")),
    Bad("inputs that are text", body("1234"), "wrong-input", ("not text", "[4]")),
    Bad("inputs that are a number", body(7), "wrong-input", ("not a number",)),
    Bad("inputs that are an object", body({}), "wrong-input", ("not an object",)),
    Bad("empty inputs", body([]), "empty-input", ("0 inputs", "at least 1")),
    Bad("too many inputs", body([[1, 2, 3, 4]] * 51), "input-too-large", ("51", "50")),
    Bad("one flat input", body([1, 2, 3, 4]), "wrong-input", ("inputs[0]", "not a number", "[4]")),
    Bad("an empty input", body([[]]), "wrong-input", ("inputs[0]", "not 0 items", "[4]")),
    Bad("a short row", body([[1, 2, 3, 4], [1, 2, 3]]), "wrong-input", ("inputs[1]", "3 items")),
    Bad("a long row", body([[1, 2, 3, 4, 5]]), "wrong-input", ("inputs[0]", "5 items")),
    Bad("a row that is an object", body([{}]), "wrong-input", ("inputs[0]", "an object")),
    Bad("nested too far", body([[[1], [2], [3], [4]]]), "wrong-input", ("inputs[0][0]", "a list")),
    Bad("256", body([[1, 2, 256, 4]]), "wrong-input", ("inputs[0][2] is 256", UINT8)),
    Bad("-1", body([[1, 2, 3, 4], [1, -1, 3, 4]]), "wrong-input", ("inputs[1][1] is -1", UINT8)),
    Bad("a fraction", body([[1, 0.5, 3, 4]]), "wrong-input", ("inputs[0][1] is 0.5", UINT8)),
    Bad("a float", body([[1, 2.0, 3, 4]]), "wrong-input", ("is 2.0", UINT8)),
    Bad("true", body([[1, True, 3, 4]]), "wrong-input", ("is True", UINT8)),
    Bad("null in a row", body([[1, None, 3, 4]]), "wrong-input", ("is None", UINT8)),
    Bad("text in a row", body([["1", 2, 3, 4]]), "wrong-input", ("inputs[0][0] is '1'", UINT8)),
    Bad("long text", body([["1" * 5_000, 2, 3, 4]]), "wrong-input", ("...", UINT8)),
    Bad("NaN", body([[1, 2, 3, float("nan")]]), "wrong-input", ("inputs[0][3] is nan", UINT8)),
    Bad("Infinity", raw("[[1, 2, 3, -Infinity]]"), "wrong-input", ("is -inf", UINT8)),
    Bad("1e999", raw("[[1, 2, 3, 1e999]]"), "wrong-input", ("is inf", UINT8)),
    Bad("a large number", raw(f"[[1, 2, 3, 1{'0' * 4000}]]"), "wrong-input", (UINT8,)),
    Bad("no rows", b"", "empty-input", ("0 inputs",), ROWS, QUERY),
    Bad("half a row", bytes(6), "wrong-input", ("6 bytes", "multiple of 4", "[4]"), ROWS, QUERY),
    Bad("too many rows", bytes(204), "input-too-large", ("51", "50"), ROWS, QUERY),
    Bad("rows without a task", bytes(4), "unknown-task", ("no task", "digits-0-1"), ROWS),
    Bad("an empty task", bytes(4), "unknown-task", ("''",), ROWS, "?task="),
    Bad("another query", bytes(4), "malformed-request", ("task=NAME",), ROWS, "?tusk=digits-0-1"),
    Bad("two tasks", bytes(4), "malformed-request", ("task=NAME",), ROWS, QUERY + "&task=cats"),
    Bad("a bad escape", bytes(4), "malformed-request", ("percent",), ROWS, "?task=%ff"),
    Bad("too many fields", bytes(4), "malformed-request", (), ROWS, "?" + "a&" * 5_000),
    Bad("a large body", bytes(20_001), "input-too-large", ("20001", "20000"), ROWS, QUERY),
    Bad("a form", b"inputs=1", "unsupported-media-type", ("x-www-form", "application/json"), {
        "Content-Type": "application/x-www-form-urlencoded"
    }),
    Bad("no type", body(), "unsupported-media-type", ("not given", "application/json"), {}),
    Bad("an empty type", body(), "unsupported-media-type", ("not given",), {"Content-Type": ""}),
    Bad("a strange type", body(), "unsupported-media-type", ("application/octet-stream",), {
        "Content-Type": "\x22\xe9;;,/"
    }),
    Bad("a zipped body", body(), "unsupported-media-type", ("gzip",), {
        **JSON, "Content-Encoding": "gzip"
    }),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_a_request_that_cannot_be_answered_is_a_problem_that_says_why(
    bad: Bad, predictor: Running
) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in bad.headers.items()]
    response = predictor.client.post(f"/predict{bad.query}", content=bad.content, headers=headers)
    details = the_problem(response)
    assert details["type"] == f"urn:si-stream:problem:{bad.problem}"
    for text in bad.says:
        assert text in details["detail"]
    assert len(details["detail"]) < 1_000


FLOATS = [
    ("NaN", "inputs[0][1] is not a number"),
    ("-Infinity", "inputs[0][1] is infinite"),
    ("1e999", "inputs[0][1] is infinite"),
    ("1e39", "inputs[0][1] is infinite as a float32"),
    ("1" + "0" * 400, "inputs[0][1] is infinite"),
    ("-1" + "0" * 39, "inputs[0][1] is infinite"),
    ("true", "inputs[0][1] is True"),
    ('"1"', "inputs[0][1] is '1'"),
    ("[1]", "inputs[0][1] is a list"),
]


@pytest.fixture(scope="module")
def of_floats(tmp_path_factory: pytest.TempPathFactory) -> Any:
    teacher = Teacher(tmp_path_factory.mktemp("floats"), model_options(dtype="float32"))
    teacher.teach()
    teacher.publish()
    with serving(teacher.store.epochs.parent) as running:
        running.wait_until_ready()
        yield running


@pytest.mark.parametrize(("number", "says"), FLOATS)
def test_a_float32_must_be_a_finite_number(number: str, says: str, of_floats: Running) -> None:
    response = of_floats.client.post(
        "/predict", content=raw(f"[[0, {number}, 0, 0]]"), headers=JSON
    )
    assert says in the_problem(response)["detail"]


@pytest.mark.parametrize(("bits", "says"), [("0000c07f", "not a number"), ("000080ff", "infinite")])
def test_raw_floats_must_be_finite(bits: str, says: str, of_floats: Running) -> None:
    content = bytes(16) + bytes(8) + bytes.fromhex(bits) + bytes(4)
    response = of_floats.client.post(f"/predict{QUERY}", content=content, headers=ROWS)
    assert f"inputs[1][2] is {says}" in the_problem(response)["detail"]


def test_floats_that_overflow_the_network_are_a_problem(of_floats: Running) -> None:
    content = raw("[[3e38, 3e38, 3e38, 3e38], [-3e38, -3e38, -3e38, -3e38]]")
    response = of_floats.client.post("/predict", content=content, headers=JSON)
    assert "overflows" in the_problem(response)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "problem", "says"),
    [
        ("GET", "/nothing", "unknown-route", "/nothing"),
        ("POST", "/predict/", "unknown-route", "/predict/"),
        ("GET", "/%00%0d%0aX:%20y", "unknown-route", "GET /"),
        ("GET", "/" + "x" * 5_000, "unknown-route", "xxx"),
        ("GET", "/docs", "unknown-route", "/docs"),
        ("GET", "/predict", "method-not-allowed", "POST"),
        ("PUT", "/predict", "method-not-allowed", "POST"),
        ("OPTIONS", "/predict", "method-not-allowed", "POST"),
        ("POST", "/tasks", "method-not-allowed", "GET"),
        ("DELETE", "/", "method-not-allowed", "GET"),
    ],
)
def test_a_wrong_address_is_a_problem_too(
    method: str, path: str, problem: str, says: str, predictor: Running
) -> None:
    response = predictor.client.request(method, path)
    details = the_problem(response)
    assert details["type"] == f"urn:si-stream:problem:{problem}"
    assert says in details["detail"]
    assert ("allow" in response.headers) == (problem == "method-not-allowed")


def send(connection: socket.socket, *lines: bytes) -> bytes:
    """Send a request's head and what follows it; all that comes back until the end."""
    connection.sendall(b"\r\n".join(lines))
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


HEAD = (b"POST /predict HTTP/1.1", b"Host: x", b"Content-Type: application/json")


def test_a_body_that_promises_too_much_is_refused_before_it_is_sent(predictor: Running) -> None:
    with predictor.connect() as connection:
        answer = send(connection, *HEAD, b"Content-Length: 9999999999999", b"", b"")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"of 9999999999999 bytes is too large, the limit is 20000" in answer


@pytest.mark.parametrize(("length", "told"), [(20_001, b"413"), (len(body()), b"100")])
def test_who_asks_first_is_told_to_send_the_body_only_if_it_will_be_read(
    length: int, told: bytes, predictor: Running
) -> None:
    lines = (*HEAD, b"Expect: 100-continue", b"Content-Length: %d" % length, b"", b"")
    with predictor.connect() as connection:
        connection.sendall(b"\r\n".join(lines))
        assert connection.recv(12) == b"HTTP/1.1 " + told
        if told == b"100":
            assert send(connection, body()).startswith(b" Continue\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize("pieces", [1, 100], ids=["with its length", "in pieces"])
def test_a_client_that_sends_far_too_much_still_learns_why(pieces: int, predictor: Running) -> None:
    content = bytes(10_000_000 // pieces)
    response = predictor.client.post(
        f"/predict{QUERY}",
        content=content if pieces == 1 else (content for _ in range(pieces)),
        headers=ROWS,
    )
    assert "the limit is 20000" in the_problem(response)["detail"]
    assert predictor.client.get("/healthz/live").status_code == 200


def test_a_body_without_end_is_refused_at_the_limit(predictor: Running) -> None:
    with predictor.connect() as connection:
        connection.sendall(b"\r\n".join((*HEAD, b"Transfer-Encoding: chunked", b"", b"")))
        connection.settimeout(0.005)
        answer = b""
        while not answer:  # ends by the answer alone
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_limit_of_a_body_is_the_last_size_that_is_read(predictor: Running) -> None:
    fitting = body() + b" " * (20_000 - len(body()))
    assert predictor.client.post("/predict", content=fitting, headers=JSON).status_code == 200
    response = predictor.client.post("/predict", content=fitting + b" ", headers=JSON)
    assert response.status_code == 413


def test_a_body_shorter_than_its_length_harms_nobody(predictor: Running) -> None:
    with predictor.connect() as connection:
        assert send(connection, *HEAD, b"Content-Length: 1000", b"", body()) == b""
    assert predictor.client.post("/predict", content=body(), headers=JSON).status_code == 200


def test_a_body_longer_than_its_length_is_cut_at_it(predictor: Running) -> None:
    with predictor.connect() as connection:
        answer = send(connection, *HEAD, b"Content-Length: 5", b"", body())
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "lines",
    [
        (b"\x00\x01\x02", b"", b""),
        (b"POST /predict HTTP/9.9", b"", b""),
        (*HEAD, b"Content-Length: -1", b"", b"{}"),
        (*HEAD, b"Content-Length: ten", b"", b"{}"),
        (*HEAD, b"Content-Length: 2", b"Content-Length: 3", b"", b"{}x"),
        (*HEAD, b"Content-Length: 2", b"Transfer-Encoding: chunked", b"", b"{}"),
        (*HEAD, b"Transfer-Encoding: chunked", b"", b"zz\r\n"),
    ],
)
def test_what_is_not_http_gets_a_400_and_harms_nobody(
    lines: tuple[bytes, ...], predictor: Running
) -> None:
    with predictor.connect() as connection:
        assert send(connection, *lines).startswith(b"HTTP/1.1 400 ")
    assert predictor.client.get("/healthz/live").status_code == 200


def test_without_a_snapshot_predictions_can_be_asked_for_later(tmp_path: Path) -> None:
    with serving(tmp_path / "not there yet") as predictor:
        responses = [
            predictor.client.post("/predict", content=body(), headers=JSON),
            predictor.client.get("/healthz/ready"),
            predictor.client.get("/tasks"),
            predictor.client.get("/accuracy-matrix"),
        ]
        for response in responses:
            details = the_problem(response)
            assert details["type"] == "urn:si-stream:problem:no-snapshot-yet"
            assert int(response.headers["retry-after"]) > 0
        assert predictor.client.get("/healthz/live").status_code == 200
        assert predictor.client.get("/").status_code == 200


def test_a_model_that_has_no_task_yet_says_so(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish(tasks=[], active_task=None)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        response = predictor.client.post("/predict", content=body(), headers=JSON)
        assert "none yet" in the_problem(response)["detail"]


def test_a_hundred_tasks_are_not_all_listed(tmp_path: Path) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    first = teacher.snapshot().manifest.tasks[0]
    tasks = [first.model_copy(update={"name": f"task {n}", "head": n % 2}) for n in range(100)]
    teacher.publish(tasks=tasks)
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        detail = the_problem(predictor.client.post("/predict", content=body(), headers=JSON))[
            "detail"
        ]
    assert "task 19 and 80 more (GET /tasks)" in detail


def test_what_nobody_foresaw_is_a_problem_with_an_id_that_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish()
    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        served = predictor.app.prediction.follower.current()
        manifest = served.manifest
        del served.heading, served.manifest  # a fault as good as any
        inside = predictor.client.post("/predict", content=body(), headers=JSON)
        outside = predictor.client.get("/tasks")
        for response in (inside, outside):
            assert response.status_code == 500
            assert response.headers["content-type"] == "application/problem+json"
            details = response.json()
            assert details["type"] == INTERNAL_ERROR.type
            assert details["instance"].startswith("urn:uuid:")
            assert details["instance"] in details["detail"]
            assert details["instance"] in caplog.text
            assert "AttributeError" not in response.text
        assert caplog.text.count("Traceback") == 2
        served.manifest = manifest
        counted = predictor.client.get("/metrics").text
    for route in ("/predict", "/tasks"):
        assert f'si_stream_http_requests_total{{route="{route}",status="500"}} 1.0' in counted


def test_every_prediction_error_has_a_kind_of_problem() -> None:
    assert PredictionError.__subclasses__()
    for error in PredictionError.__subclasses__():
        assert error in ALL_KINDS


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.sampled_from(["task", "inputs", "x"]), inner, max_size=3)
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode())
    | st.lists(st.lists(st.integers(-2, 257) | st.floats(), max_size=5), max_size=5).map(body),
    headers=st.sampled_from([JSON, ROWS]),
)
def test_no_body_makes_the_predictor_fail(
    content: bytes, headers: dict[str, str], predictor: Running
) -> None:
    query = QUERY if headers is ROWS else ""
    response = predictor.client.post(f"/predict{query}", content=content, headers=headers)
    if response.status_code != 200:
        the_problem(response)
