"""Problems: every answer that is no success, as RFC 9457 problem details.

Invariant: nothing that a client sends is answered by a traceback or by a bare text. ``error``
repeats ``detail`` for clients of the Open Inference Protocol.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from si_stream.errors import SIStreamError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
LATER = (("Retry-After", "5"),)  # snapshots are published every few seconds


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

    def like(self, example: str) -> Kind:
        """The same kind, with another example."""
        return self._replace(example=example)


Kinds = Mapping[type[SIStreamError], Kind]
"""By error; one that is not named has its nearest ancestor's."""

MALFORMED_REQUEST = Kind(400, "malformed-request", "The request cannot be read", "it is no JSON")
TOO_LARGE = Kind(413, "input-too-large", "The request is too large", "8 MiB are the limit")
UNAUTHORIZED = Kind(
    401,
    "unauthorized",
    "Who asks is not known",
    "no token was sent; send the header Authorization: Bearer TOKEN",
)
FORBIDDEN = Kind(
    403,
    "forbidden",
    "Nobody may",
    "nobody may ask for this here; set learner.token or learner.token_file",
)
TOO_MANY_REQUESTS = Kind(
    429,
    "too-many-requests",
    "The client asks too often",
    "more than 20 requests a second come from this address; ask again in 0.05 s",
    (("Retry-After", "1"),),
)
UNKNOWN_TASK = Kind(404, "unknown-task", "There is no such task", "task 'a' is not known")
NO_SNAPSHOT = Kind(
    503,
    "no-snapshot-yet",
    "There is no model to answer yet",
    "no snapshot has been loaded yet; ask again in some seconds",
    LATER,
)
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
    "The server failed",
    "this is a fault of the server; its log has it under "
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


def refusal(error: SIStreamError, kinds: Kinds) -> Response:
    """The problem that an error is to whoever asked."""
    kind = next(kinds[ancestor] for ancestor in type(error).__mro__ if ancestor in kinds)
    return problem(kind, str(error), headers=dict(kind.headers))


def internal_error(request: Request, error: Exception) -> Response:
    """What nobody foresaw: logged with its traceback under an id, which is all the client sees."""
    occurrence = uuid.uuid4().urn
    method, path = request.method, request.scope["path"]
    logger.error("%s %.200s: %s", method, path, occurrence, exc_info=error)
    detail = f"this is a fault of the server; its log has it under {occurrence}"
    return problem(INTERNAL_ERROR, detail, instance=occurrence)


def handle_problems(app: FastAPI, kinds: Kinds) -> None:
    """Have the application answer these errors, and all others, with problems."""
    for error in kinds:
        app.add_exception_handler(error, _refusing(kinds))
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _any_exception)


def _refusing(kinds: Kinds) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def refuse(_request: Request, error: Exception) -> Response:
        assert isinstance(error, SIStreamError)
        return refusal(error, kinds)

    return refuse


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
