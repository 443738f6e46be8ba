"""What the OpenAPI documents have in common: every problem that a route may answer with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI

from services.web.problems import (
    INTERNAL_ERROR,
    MEDIA_TYPE,
    Kind,
    Problem,
)

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


def complete_openapi(app: FastAPI, requests: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Generate the document, and add what the routes refer to: problems, and requests' schemas."""
    schemas = app.openapi().setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    schemas.update(requests)
