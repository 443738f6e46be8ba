"""GET /samples, which a learner and a predictor answer alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from services.samples import SampleList
from services.web.documentation import problem_responses
from services.web.problems import Kinds
from si_stream.errors import MalformedRequest, NoSnapshotYet, UnknownTask

PATH = "/samples"
SAMPLES_OF: dict[str, Any] = {
    "parameters": [
        {
            "name": "task",
            "in": "query",
            "required": True,
            "description": "Whose samples.",
            "schema": {"type": "string"},
            "example": "digits-0-1",
        }
    ]
}


def add_samples(app: FastAPI, samples_of: Callable[[str], bytes], kinds: Kinds) -> None:
    """Args:
    samples_of: a `SampleList` of the task of a name, in JSON; called off the event loop.
    """

    @app.get(
        PATH,
        operation_id="samples",
        response_model=SampleList,
        responses=problem_responses(
            [kinds[MalformedRequest], kinds[UnknownTask], kinds[NoSnapshotYet]]
        ),
        openapi_extra=SAMPLES_OF,
    )
    async def some_samples(request: Request) -> Response:
        """Some samples of a task that nothing has learned from, to try the model with."""
        task = request.query_params.get("task")
        if task is None:
            raise MalformedRequest("no task is named; ask for /samples?task=NAME, as /tasks has it")
        json = await run_in_threadpool(samples_of, task)
        return Response(json, media_type="application/json")
