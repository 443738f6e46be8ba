"""POST /predict: reads a request's body, asks the newest snapshot, writes the answer.

Invariant: one snapshot, taken before the body is read, answers the whole request. A small body is
answered within the event loop, where a thread would cost more than the answer; a larger one in
the one worker thread, so that small ones need not wait for it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import NamedTuple
from urllib.parse import parse_qsl

import torch
from starlette.types import Receive, Scope

from services.predictor.answers import encode_predictions
from services.predictor.body import ROWS, Body, read_body
from services.predictor.follower import Follower
from services.predictor.inputs import kind
from services.predictor.metrics import Metrics
from services.predictor.served import Served
from si_stream.errors import MalformedRequest, MessageError
from si_stream.messages.json_codec import decode_object
from si_stream.settings import PredictorOptions

PATH = "/predict"
INLINE_BYTES = 16 * 1024
MEMBERS = frozenset({"task", "inputs"})


class Answered(NamedTuple):
    task: str
    inputs: int
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
        """The JSON that answers a request. Raises PredictionError."""
        served = self.follower.current()
        body = await read_body(scope, receive, self.options.max_body_bytes)
        query: bytes = scope["query_string"]
        started = perf_counter()
        if len(body.content) <= INLINE_BYTES:
            answer = self._answer(served, body, query)
        else:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._worker, self._answer, served, body, query)
        self.metrics.predicted(answer.task, answer.inputs, perf_counter() - started)
        return answer.json

    def _answer(self, served: Served, body: Body, query: bytes) -> Answered:
        columns = body.media_type == ROWS
        limit = self.options.max_inputs
        if columns:
            task = served.task_of_query.get(query) or served.task(_task_of_query(query))
            inputs = served.takes.from_rows(body.content, limit)
        else:
            if query:
                raise MalformedRequest("with JSON the task is a member of the body, not a query")
            members = _members(body.content)
            task = served.task(_task_of_members(members))
            inputs = served.takes.from_json(members["inputs"], limit)
        probabilities_BC = served.probabilities(inputs, task)
        json = encode_predictions(served, task, probabilities_BC, columns=columns)
        return Answered(task.name, len(inputs), json)

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


def _task_of_members(members: dict[str, object]) -> str | None:
    task = members.get("task")
    if task is not None and not isinstance(task, str):
        raise MalformedRequest(f"task must be text, not {kind(task)}")
    return task


def _task_of_query(query: bytes) -> str | None:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise MalformedRequest(f"the query {query!a:.200} is not percent-encoded UTF-8") from None
    if len(pairs) > 1 or any(name != "task" for name, _ in pairs):
        raise MalformedRequest(f"the query {query!a:.200} is not task=NAME alone")
    return pairs[0][1] if pairs else None
