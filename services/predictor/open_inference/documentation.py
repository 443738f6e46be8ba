"""The protocol's part of the OpenAPI document, where it does not follow from the routes."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from services.predictor.open_inference import schemas
from services.predictor.problems import INFERENCE_KINDS
from services.web.documentation import in_path, problem_responses
from si_stream.errors import NoSnapshotYet, ShuttingDown, UnknownModel

REFERENCE = "#/components/schemas/{model}"
REQUEST_SCHEMAS: dict[str, Any] = models_json_schema(
    [(schemas.InferenceRequest, "validation")], ref_template=REFERENCE
)[1]["$defs"]
BINARY = {"schema": {"type": "string", "format": "binary"}}
JSON_LENGTH = {
    "description": "bytes of the JSON, where tensors' bytes follow it",
    "schema": {"type": "integer"},
}
INFERENCE_PROBLEMS = problem_responses(INFERENCE_KINDS.values()) | {
    200: {
        "description": "the outputs; where some are asked for as bytes, these follow the JSON",
        "headers": {"Inference-Header-Content-Length": JSON_LENGTH},
        "content": {"application/octet-stream": BINARY},
    }
}
MODEL_PROBLEMS = problem_responses(
    INFERENCE_KINDS[error] for error in (UnknownModel, NoSnapshotYet, ShuttingDown)
)


MODEL = in_path(
    "model",
    "The model's name, or name/task for the head of a task; the task's slashes may be left as they "
    "are.",
    "si-stream/digits-0-1",
)
VERSION = in_path(
    "version", "EPOCH.STEP of a snapshot; the newest alone is served, any other is a 404.", "1.300"
)
LENGTH: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of the JSON, where the tensor's bytes follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
EXAMPLE = {
    "inputs": [
        {"name": "input", "datatype": "UINT8", "shape": [1, 4], "data": [0, 128, 255, 64]},
    ]
}
INFERENCE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": REFERENCE.format(model=schemas.InferenceRequest.__name__)},
                "examples": {"one input": {"summary": "one input of shape [4]", "value": EXAMPLE}},
            },
            "application/octet-stream": BINARY
            | {"description": "the same JSON, then the bytes of the tensor"},
        },
    },
}
