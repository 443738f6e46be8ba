"""POST /predict: reads a request's body, asks the newest snapshot, writes the answer.

Invariant: one snapshot, taken before the body is read, answers the whole request. A small body is
answered within the event loop, where a thread would cost more than the answer; a larger one in
the one worker thread, so that small ones need not wait for it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from services.predictor.answers import encode_predictions
from services.predictor.body import ROWS, media_type, read_body
from services.predictor.follower import Follower
from services.predictor.inputs import from_json, from_rows
from services.predictor.metrics import Metrics
from services.predictor.served import Served
from si_stream.errors import MalformedRequest, MessageError
from si_stream.messages.json_codec import decode_object
from si_stream.settings import PredictorOptions

INLINE_BYTES = 16 * 1024
MEMBERS = frozenset({"task", "inputs"})


class Prediction:
    def __init__(self, options: PredictorOptions, follower: Follower, metrics: Metrics) -> None:
        self.options = options
        self.follower = follower
        self.metrics = metrics
        self._worker = ThreadPoolExecutor(1, "prediction")

    async def respond(self, request: Request) -> Response:
        """Raises PredictionError."""
        media = media_type(request)
        served = self.follower.current()
        body = await read_body(request, self.options.max_body_bytes)
        query = request.scope["query_string"]
        started = perf_counter()
        if len(body) <= INLINE_BYTES:
            task, inputs, answer = self._answer(served, media, query, body)
        else:
            loop = asyncio.get_running_loop()
            task, inputs, answer = await loop.run_in_executor(
                self._worker, self._answer, served, media, query, body
            )
        self.metrics.predicted(task, inputs, perf_counter() - started)
        return Response(answer, media_type="application/json")

    def _answer(
        self, served: Served, media: str, query: bytes, body: bytearray
    ) -> tuple[str, int, bytes]:
        """The task that answers, how many inputs it answers, and the answer."""
        limit = self.options.max_inputs
        if media == ROWS:
            task = served.task(_task_of_query(query))
            inputs = from_rows(body, served.model, limit)
        else:
            if query:
                raise MalformedRequest("with JSON the task is a member of the body, not a query")
            members = _members(body)
            task = served.task(_task_of_members(members))
            inputs = from_json(members["inputs"], served.model, limit)
        probabilities_BC = served.probabilities(inputs, task)
        answer = encode_predictions(served, task, probabilities_BC, columns=media == ROWS)
        return task.name, len(inputs), answer

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
        raise MalformedRequest(f"task must be text, not {type(task).__name__}")
    return task


def _task_of_query(query: bytes) -> str | None:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise MalformedRequest(f"the query {query!a:.200} is not percent-encoded UTF-8") from None
    if len(pairs) > 1 or any(name != "task" for name, _ in pairs):
        raise MalformedRequest(f"the query {query!a:.200} is not task=NAME alone")
    return pairs[0][1] if pairs else None
