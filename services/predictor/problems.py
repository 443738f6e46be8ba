"""The problems of a predictor: what each error of a request is to whoever asked."""

from __future__ import annotations

from services.web.problems import (
    MALFORMED_REQUEST,
    NO_SNAPSHOT,
    TOO_LARGE,
    UNKNOWN_TASK,
    Kind,
    Kinds,
)
from si_stream.errors import (
    EmptyInput,
    InputTooLarge,
    MalformedRequest,
    NoSnapshotYet,
    PredictionError,
    RequestError,
    UnknownTask,
    WrongInput,
)


class UnsupportedMediaType(PredictionError):
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
    NoSnapshotYet: NO_SNAPSHOT,
}
"""Of a prediction."""
NO_ROOM = Kind(
    503,
    "too-many-listeners",
    "There are too many listeners",
    "32 pages are open, and no more are served at a time; close one, or ask /tasks, "
    "/accuracy-matrix and /metrics",
)
ALL_KINDS: Kinds = {**KINDS, TooManyListeners: NO_ROOM}
