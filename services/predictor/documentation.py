"""The predictor's OpenAPI document: what the routes take and every answer that they may give."""

from __future__ import annotations

from typing import Any

from services.predictor.predict import JSON, ROWS
from services.predictor.problems import KINDS, NO_ROOM
from services.predictor.served import WAYS
from services.web.documentation import in_path, problem_responses
from services.web.problems import UNKNOWN_ROUTE
from si_stream.errors import NoSnapshotYet, ShuttingDown

DESCRIPTION = """\
Answers from the newest snapshot of a model that goes on learning. Every answer says which
snapshot it came from (`version`) and how far along the stream that one was trained (`position`).
Whatever cannot be answered is a problem (RFC 9457, `application/problem+json`).
"""

NO_SNAPSHOT = problem_responses([KINDS[NoSnapshotYet]])
NOT_READY = problem_responses([KINDS[NoSnapshotYet], KINDS[ShuttingDown]])
PREDICTION_PROBLEMS = problem_responses(KINDS.values())
NO_FILE = problem_responses([UNKNOWN_ROUTE])
NO_PLACE = problem_responses([NO_ROOM])

PAGE_FILE: dict[str, Any] = {
    "parameters": [
        in_path("version", "of the file: another version has another address"),
        in_path("name", "of the file"),
    ]
}

NAMING = "Whose head is to answer; where it is left out, and there are several, see `choose`."
CHOOSING = (
    "How the head is chosen where no task is named: `portrait`, for each input the task that it "
    "looks like, or `active`, the task that is being learned."
)

DEADLINE: dict[str, Any] = {
    "name": "Deadline-Seconds",
    "in": "header",
    "description": "How long the answer is waited for; a request that is not computed until then "
    "gets a 504. Counts where it is less than the predictor's own (`predictor.deadline_seconds`).",
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "example": 0.25,
}
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
        DEADLINE,
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
