"""POST /predict, as it is asked: JSON for a person, or raw rows for speed.

Invariant: a request that cannot be read is refused with the member or the query that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Scope

from services.predictor.answers import encode_chosen, encode_predictions
from services.predictor.body import Content, Headers, text_of
from services.predictor.inputs import kind
from services.predictor.problems import UnsupportedMediaType
from services.predictor.question import JSON_REPLY, Question, Read, Reply
from services.predictor.served import WAYS, Chosen, Named, Served, Way
from si_stream.errors import MalformedRequest, MessageError
from si_stream.messages.json_codec import decode_object
from si_stream.settings import PredictorOptions

PATH = "/predict"
JSON, ROWS = "application/json", "application/octet-stream"
MEMBERS = frozenset({"task", "choose", "inputs"})


class Asked(NamedTuple):
    """Whose head is to answer, or how it is to be chosen."""

    task: str | None
    choose: Way | None


def predict(options: PredictorOptions, scope: Scope, headers: Headers) -> Read:
    """See `services.predictor.question.Form`."""
    if _media_type(headers) == ROWS:
        return partial(_of_rows, options.max_inputs, scope["query_string"])
    if scope["query_string"]:
        raise MalformedRequest("with JSON the task is a member of the body, not a query")
    return partial(_of_json, options.max_inputs)


def _media_type(headers: Headers) -> str:
    declared = headers.get(b"content-type", b"")
    media_type = declared.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in (JSON, ROWS):
        raise UnsupportedMediaType(
            f"the Content-Type is {text_of(declared) if declared else 'not given'}; send {JSON}, "
            f"or {ROWS} for raw rows (curl: -H 'Content-Type: {JSON}')"
        )
    return media_type


def _of_rows(max_inputs: int, query: bytes, served: Served, content: Content) -> Question:
    choose: Way | None = None
    task = served.task_of_query.get(query)
    if task is None:
        name, choose = _asked_in_query(query)
        task = served.task(name, choose)
    inputs = served.takes.from_rows(content, max_inputs)
    return Question(task, choose, inputs, partial(_write, served, columns=True))


def _of_json(max_inputs: int, served: Served, content: Content) -> Question:
    members = _members(content)
    name, choose = _asked_in_members(members)
    task = served.task(name, choose)
    inputs = served.takes.from_json(members["inputs"], max_inputs)
    return Question(task, choose, inputs, partial(_write, served, columns=False))


def _write(served: Served, answer: Named | Chosen, *, columns: bool) -> Reply:
    if isinstance(answer, Named):
        task, probabilities_BC = answer
        json = encode_predictions(served, task, probabilities_BC, columns=columns)
    else:
        json = encode_chosen(served, answer, columns=columns)
    return Reply(JSON_REPLY, json)


def _members(body: Content) -> dict[str, object]:
    try:
        members: dict[str, object] = decode_object(memoryview(body), MEMBERS)
    except MessageError as error:
        raise MalformedRequest(f'{error}; send {{"task": "…", "inputs": […]}}') from None
    if "inputs" not in members:
        raise MalformedRequest('the member inputs is missing; send {"task": "…", "inputs": […]}')
    return members


def _asked_in_members(members: dict[str, object]) -> Asked:
    for name in ("task", "choose"):
        value = members.get(name)
        if value is not None and not isinstance(value, str):
            raise MalformedRequest(f"{name} must be text, not {kind(value)}")
    return _asked(members)


def _asked_in_query(query: bytes) -> Asked:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise MalformedRequest(f"the query {query!a:.200} is not percent-encoded UTF-8") from None
    if len(pairs) > 1 or any(name not in ("task", "choose") for name, _ in pairs):
        raise MalformedRequest(f"the query {query!a:.200} is not task=NAME or choose=WAY alone")
    return _asked(dict(pairs))


def _asked(given: Mapping[str, Any]) -> Asked:
    task, choose = given.get("task"), given.get("choose")
    if choose is not None and task is not None:
        raise MalformedRequest("a task is named, so there is none to choose; leave out choose")
    if choose is not None and choose not in WAYS:
        raise MalformedRequest(f"choose is {choose!a:.200}; it is one of {', '.join(WAYS)}")
    return Asked(task, choose)
