"""Problems: every answer that is no success, as RFC 9457 problem details.

Invariant: nothing that a client sends is answered by a traceback or by a bare text. ``error``
repeats ``detail`` for clients of the Open Inference Protocol.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from si_stream.errors import (
    DeadlinePassed,
    EmptyInput,
    InputTooLarge,
    MalformedRequest,
    NoSnapshotYet,
    Overloaded,
    PredictionError,
    ShuttingDown,
    UnknownModel,
    UnknownTask,
    WrongInput,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
SOON = (("Retry-After", "1"),)  # a full house empties in fractions of that
LATER = (("Retry-After", "5"),)  # snapshots are published every few seconds
ELSEWHERE = (*SOON, ("Connection", "close"))


class UnsupportedMediaType(PredictionError):
    pass


class BodyTooSlow(PredictionError):
    pass


class TooManyListeners(PredictionError):
    """Not of predictions, which are answered however many pages are open."""


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="a URN that names this kind of problem for good")
    title: str = Field(description="the kind of problem, for a person")
    status: int = Field(description="the HTTP status code")
    detail: str = Field(description="this occurrence: the value, the limit and what to do")
    error: str = Field(description="the same text as `detail`")
    instance: str | None = Field(None, description="the id that the log has this occurrence under")


class Kind(NamedTuple):
    status: int
    name: str
    title: str
    example: str  # of a detail
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def type(self) -> str:
        return f"urn:si-stream:problem:{self.name}"


KINDS: dict[type[PredictionError], Kind] = {
    MalformedRequest: Kind(
        400,
        "malformed-request",
        "The request cannot be read",
        'the member inputs is missing; send {"task": "…", "inputs": […]}',
    ),
    UnknownTask: Kind(
        404,
        "unknown-task",
        "There is no such task",
        "task 'digits-8-9' is not known; the tasks known to snapshot 1.200: digits-0-1",
    ),
    BodyTooSlow: Kind(
        408,
        "body-too-slow",
        "The body has not come in time",
        "of the body 0 bytes have come until the request's deadline (predictor.deadline_seconds, "
        "or what the request asks for); send it faster, or in smaller requests",
        (("Connection", "close"),),
    ),
    InputTooLarge: Kind(
        413,
        "input-too-large",
        "The request is too large",
        "5000 inputs are too many for one request, the limit is 4096 (predictor.max_inputs); "
        "send them in several requests",
    ),
    UnsupportedMediaType: Kind(
        415,
        "unsupported-media-type",
        "The body's media type is not known",
        "the Content-Type is 'text/csv'; send application/json, or application/octet-stream for "
        "raw rows",
    ),
    WrongInput: Kind(
        422,
        "wrong-input",
        "The inputs are not what the model takes",
        "inputs[0][3] is 256; the model takes uint8: an integer from 0 to 255",
    ),
    EmptyInput: Kind(
        422, "empty-input", "There are no inputs", "there are 0 inputs; send at least 1"
    ),
    NoSnapshotYet: Kind(
        503,
        "no-snapshot-yet",
        "There is no model to answer yet",
        "no snapshot has been loaded yet; ask again in some seconds",
        LATER,
    ),
    Overloaded: Kind(
        429,
        "overloaded",
        "There are too many requests",
        "128 requests are waiting, and no more are let in (predictor.max_waiting); ask again "
        "later, or another predictor",
        SOON,
    ),
    ShuttingDown: Kind(
        503,
        "shutting-down",
        "The predictor is shutting down",
        "this predictor is shutting down, and answers only what it had taken in before; ask again, "
        "on a new connection",
        ELSEWHERE,
    ),
    DeadlinePassed: Kind(
        504,
        "deadline-passed",
        "The deadline has passed",
        "the request has waited until its deadline, and was not computed; ask again when there is "
        "less to do, or another predictor",
    ),
}
"""Of `POST /predict`."""
UNKNOWN_MODEL = Kind(
    404,
    "unknown-model",
    "There is no such model, or no such version of it",
    "version 1.200 of si-stream is not served; the one that is: 1.300",
)
INFERENCE_KINDS: dict[type[PredictionError], Kind] = {
    error: kind._replace(status=400) if kind.status == 422 else kind
    for error, kind in KINDS.items()
} | {UnknownModel: UNKNOWN_MODEL}
"""Of the Open Inference Protocol, which knows 400 for whatever is wrong with the inputs."""
NO_ROOM = Kind(
    503,
    "too-many-listeners",
    "There are too many listeners",
    "32 pages are open, and no more are served at a time; close one, or ask /tasks, "
    "/accuracy-matrix and /metrics",
    LATER,
)
OTHER_KINDS: dict[type[PredictionError], Kind] = {TooManyListeners: NO_ROOM}
"""Of what is no prediction."""
ALL_KINDS = INFERENCE_KINDS | KINDS | OTHER_KINDS
UNKNOWN_ROUTE = Kind(
    404,
    "unknown-route",
    "There is no such route",
    "there is nothing at /predictions; GET /openapi.json lists what there is",
)
METHOD_NOT_ALLOWED = Kind(
    405,
    "method-not-allowed",
    "The route does not take this method",
    "/predict does not take GET; use POST",
)
INTERNAL_ERROR = Kind(
    500,
    "internal-error",
    "The predictor failed",
    "this is a fault of the predictor; its log has it under "
    "urn:uuid:8b7c5f54-4c2e-4d8e-9a3f-2f1f6a1c9f10",
)


def problem(
    kind: Kind,
    detail: str,
    *,
    instance: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    details = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=detail,
        error=detail,
        instance=instance,
    )
    body = orjson.dumps(details.model_dump(exclude_none=True))
    return Response(body, kind.status, dict(headers or {}), MEDIA_TYPE)


def internal_error(request: Request, error: Exception) -> Response:
    """What nobody foresaw: logged with its traceback under an id, which is all the client sees."""
    occurrence = uuid.uuid4().urn
    method, path = request.method, request.scope["path"]
    logger.error("%s %.200s: %s", method, path, occurrence, exc_info=error)
    detail = f"this is a fault of the predictor; its log has it under {occurrence}"
    return problem(INTERNAL_ERROR, detail, instance=occurrence)


def prediction_problem(
    error: PredictionError, kinds: Mapping[type[PredictionError], Kind] = ALL_KINDS
) -> Response:
    kind = next(kinds[ancestor] for ancestor in type(error).__mro__ if ancestor in kinds)
    return problem(kind, str(error), headers=dict(kind.headers))


def handle_problems(app: FastAPI) -> None:
    app.add_exception_handler(PredictionError, _prediction_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _any_exception)


async def _prediction_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PredictionError)
    return prediction_problem(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = f"{request.scope['path']:.200}"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{path} does not take {request.method}; use {allowed}"
        return problem(METHOD_NOT_ALLOWED, detail, headers=error.headers)
    if error.status_code == 404:
        detail = f"there is nothing at {path}; GET /openapi.json lists what there is"
        return problem(UNKNOWN_ROUTE, detail)
    kind = Kind(error.status_code, "refused", "The request is refused", "")
    return problem(kind, str(error.detail), headers=error.headers)


async def _any_exception(request: Request, error: Exception) -> Response:
    return internal_error(request, error)
