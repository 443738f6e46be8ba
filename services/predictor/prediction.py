"""POST /predict: reads a request's body, asks the newest snapshot, writes the answer.

Invariant: one snapshot, taken before the body is read, answers the whole request. A small body is
answered within the event loop, where a thread would cost more than the answer; a larger one in
the one worker thread, so that small ones need not wait for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import torch
from starlette.types import Receive, Scope

from services.predictor.answers import encode_chosen, encode_predictions
from services.predictor.body import ROWS, Body, read_body
from services.predictor.follower import Follower
from services.predictor.inputs import kind
from services.predictor.metrics import Metrics
from services.predictor.served import WAYS, Served, Way
from si_stream.errors import MalformedRequest, MessageError
from si_stream.messages.json_codec import decode_object
from si_stream.settings import PredictorOptions

PATH = "/predict"
INLINE_BYTES = 16 * 1024
MEMBERS = frozenset({"task", "choose", "inputs"})


class Asked(NamedTuple):
    """Whose head is to answer, or how it is to be chosen."""

    task: str | None
    choose: Way | None


class Answered(NamedTuple):
    """Inputs by task, and how the tasks were chosen where none was named."""

    inputs: Mapping[str, int]
    choose: Way | None
    json: bytes


class Prediction:
    def __init__(self, options: PredictorOptions, follower: Follower, metrics: Metrics) -> None:
        self.options = options
        self.follower = follower
        self.metrics = metrics
        self._worker = ThreadPoolExecutor(
            1, "prediction", initializer=torch.set_num_threads, initargs=(options.threads,)
        )

    async def answer(self, scope: Scope, receive: Receive) -> bytes:
        """The JSON that answers a request. Raises RequestError."""
        served = self.follower.current()
        body = await read_body(scope, receive, self.options.max_body_bytes)
        query: bytes = scope["query_string"]
        started = perf_counter()
        if len(body.content) <= INLINE_BYTES:
            answer = self._answer(served, body, query)
        else:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._worker, self._answer, served, body, query)
        self.metrics.predicted(answer.inputs, answer.choose, perf_counter() - started)
        return answer.json

    def _answer(self, served: Served, body: Body, query: bytes) -> Answered:
        columns = body.media_type == ROWS
        limit = self.options.max_inputs
        choose: Way | None = None
        if columns:
            task = served.task_of_query.get(query)
            if task is None:
                name, choose = _asked_in_query(query)
                task = served.task(name, choose)
            inputs = served.takes.from_rows(body.content, limit)
        else:
            if query:
                raise MalformedRequest("with JSON the task is a member of the body, not a query")
            members = _members(body.content)
            name, choose = _asked_in_members(members)
            task = served.task(name, choose)
            inputs = served.takes.from_json(members["inputs"], limit)
        if task is None:
            chosen = served.choose(inputs)
            json = encode_chosen(served, chosen, columns=columns)
            return Answered(Counter(task.name for task in chosen.tasks), "portrait", json)
        probabilities_BC = served.probabilities(inputs, task)
        json = encode_predictions(served, task, probabilities_BC, columns=columns)
        return Answered({task.name: len(inputs)}, choose, json)

    def close(self) -> None:
        self._worker.shutdown()


def _members(body: bytearray) -> dict[str, object]:
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
