"""The predictor's OpenAPI document: what the routes take and every answer that they may give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI

from services.predictor.predict import JSON, ROWS
from services.predictor.problems import (
    INTERNAL_ERROR,
    KINDS,
    MEDIA_TYPE,
    NO_ROOM,
    UNKNOWN_ROUTE,
    Kind,
    Problem,
)
from services.predictor.served import WAYS
from si_stream.errors import MalformedRequest, NoSnapshotYet, ShuttingDown, UnknownTask

DESCRIPTION = """\
Answers from the newest snapshot of a model that goes on learning. Every answer says which
snapshot it came from (`version`) and how far along the stream that one was trained (`position`).
Whatever cannot be answered is a problem (RFC 9457, `application/problem+json`).
"""

Responses = dict[int | str, dict[str, Any]]


def _example(kind: Kind) -> dict[str, Any]:
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.example,
        "error": kind.example,
    }


def problem_responses(kinds: Iterable[Kind]) -> Responses:
    """One response for each status, with an example of each kind."""
    responses: Responses = {}
    for kind in (*kinds, INTERNAL_ERROR):
        response = responses.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        if kind.title not in response["description"]:
            response["description"] += f", or: {kind.title}"
        response["content"][MEDIA_TYPE]["examples"][kind.name] = {"value": _example(kind)}
        for name, value in kind.headers:
            if name == "Retry-After":
                schema = {"type": "integer", "example": int(value)}
                response["headers"] = {name: {"description": "seconds", "schema": schema}}
    return responses


FAULT = problem_responses([])
NO_SNAPSHOT = problem_responses([KINDS[NoSnapshotYet]])
NOT_READY = problem_responses([KINDS[NoSnapshotYet], KINDS[ShuttingDown]])
PREDICTION_PROBLEMS = problem_responses(KINDS.values())
NO_FILE = problem_responses([UNKNOWN_ROUTE])
NO_PLACE = problem_responses([NO_ROOM])
NO_SAMPLES = problem_responses(
    [KINDS[MalformedRequest], KINDS[UnknownTask], KINDS[NoSnapshotYet]],
)

PAGE_FILE: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": {"type": "string"},
        }
        for name, description in (
            ("version", "of the file: another version has another address"),
            ("name", "of the file"),
        )
    ]
}
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

NAMING = "Whose head is to answer; where it is left out, and there are several, see `choose`."
CHOOSING = (
    "How the head is chosen where no task is named: `portrait`, for each input the task that it "
    "looks like, or `active`, the task that is being learned."
)

PREDICTION_REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": "task",
            "in": "query",
            "description": f"{NAMING} With `{ROWS}` only.",
            "schema": {"type": "string"},
            "example": "digits-0-1",
        },
        {
            "name": "choose",
            "in": "query",
            "description": f"{CHOOSING} With `{ROWS}` only.",
            "schema": {"type": "string", "enum": WAYS, "default": WAYS[0]},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "title": "PredictionRequest",
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["inputs"],
                    "properties": {
                        "task": {
                            "type": ["string", "null"],
                            "description": NAMING,
                        },
                        "choose": {
                            "type": ["string", "null"],
                            "enum": [*WAYS, None],
                            "default": WAYS[0],
                            "description": CHOOSING,
                        },
                        "inputs": {
                            "type": "array",
                            "minItems": 1,
                            "description": "Nested lists of the model's `input_shape` (see "
                            "`GET /tasks`), one for each input; integers from 0 to 255 where the "
                            "model takes uint8.",
                            "items": {},
                        },
                    },
                },
                "examples": {
                    "two inputs": {
                        "summary": "two inputs of shape [4]",
                        "value": {
                            "task": "digits-0-1",
                            "inputs": [[0, 128, 255, 64], [255, 0, 0, 17]],
                        },
                    },
                    "no task": {
                        "summary": "an input whose task is not known",
                        "value": {"inputs": [[0, 128, 255, 64]]},
                    },
                },
            },
            ROWS: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "The inputs one after the other, each in C order: uint8 or "
                    "little-endian float32, as the model takes it.",
                }
            },
        },
    },
}


def complete_openapi(app: FastAPI, requests: Mapping[str, Any]) -> None:
    """Generate the document, and add what the routes refer to: problems, and requests' schemas."""
    schemas = app.openapi().setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    schemas.update(requests)
