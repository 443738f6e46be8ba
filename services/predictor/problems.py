"""The problems of a predictor: what each error of a request is to whoever asked."""

from __future__ import annotations

from services.web.problems import (
    LATER,
    MALFORMED_REQUEST,
    NO_SNAPSHOT,
    TOO_LARGE,
    UNKNOWN_TASK,
    Kind,
    Kinds,
)
from si_stream.errors import (
    DeadlinePassed,
    EmptyInput,
    InputTooLarge,
    MalformedRequest,
    NoSnapshotYet,
    Overloaded,
    PredictionError,
    RequestError,
    ShuttingDown,
    UnknownModel,
    UnknownTask,
    WrongInput,
)

SOON = (("Retry-After", "1"),)  # a full house empties in fractions of that
CLOSING = (("Connection", "close"),)


class UnsupportedMediaType(PredictionError):
    pass


class ForeignOrigin(PredictionError):
    """A page of another origin asks, in somebody's browser."""


class BodyTooSlow(PredictionError):
    pass


class TooManyListeners(RequestError):
    """Not of predictions, which are answered however many pages are open."""


KINDS: Kinds = {
    MalformedRequest: MALFORMED_REQUEST.like(
        'the member inputs is missing; send {"task": "…", "inputs": […]}'
    ),
    UnknownTask: UNKNOWN_TASK.like(
        "task 'digits-8-9' is not known; the tasks known to snapshot 1.200: digits-0-1"
    ),
    BodyTooSlow: Kind(
        408,
        "body-too-slow",
        "The body has not come in time",
        "the body has not come until the request's deadline (predictor.deadline_seconds, or what "
        "the request asks for); send it faster, or in smaller requests",
        CLOSING,
    ),
    InputTooLarge: TOO_LARGE.like(
        "5000 inputs are too many for one request, the limit is 4096 (predictor.max_inputs); "
        "send them in several requests"
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
    Overloaded: Kind(
        429,
        "overloaded",
        "There are too many requests",
        "128 requests are waiting, and no more are let in (predictor.max_waiting); ask again "
        "later, or another predictor",
        SOON,
    ),
    NoSnapshotYet: NO_SNAPSHOT,
    ShuttingDown: Kind(
        503,
        "shutting-down",
        "The predictor is shutting down",
        "this predictor is shutting down, and answers only what it had taken in before; ask again, "
        "on a new connection",
        (*SOON, *CLOSING),
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
INFERENCE_KINDS: Kinds = {
    error: kind._replace(status=400) if kind.status == 422 else kind
    for error, kind in KINDS.items()
} | {
    UnknownModel: Kind(
        404,
        "unknown-model",
        "There is no such model, or no such version of it",
        "version '1.200' of 'si-stream' is not served; the one that is, the newest snapshot: 1.300",
    ),
    ForeignOrigin: Kind(
        403,
        "foreign-origin",
        "A page elsewhere may not ask",
        "the header Origin is 'https://example.org', and this is '127.0.0.1:8080'; ask from no "
        "page, or from one that this predictor serves",
    ),
}
"""Of the Open Inference Protocol, which knows 400 for whatever is wrong with the inputs."""
NO_ROOM = Kind(
    503,
    "too-many-listeners",
    "There are too many listeners",
    "32 pages are open, and no more are served at a time; close one, or ask /tasks, "
    "/accuracy-matrix and /metrics",
    LATER,
)
ALL_KINDS: Kinds = {**INFERENCE_KINDS, **KINDS, TooManyListeners: NO_ROOM}
