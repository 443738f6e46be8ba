"""What the OpenAPI documents have in common: every problem that a route may answer with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI

from services.web.problems import (
    FORBIDDEN,
    INTERNAL_ERROR,
    MEDIA_TYPE,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
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


def in_path(name: str, description: str, example: str | None = None) -> dict[str, Any]:
    """A part of a path that a route reads by itself."""
    parameter: dict[str, Any] = {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }
    return parameter if example is None else parameter | {"example": example}


def complete_openapi(app: FastAPI, requests: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Generate the document, and add what the routes refer to: problems, and requests' schemas."""
    schemas = app.openapi().setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    schemas.update(requests)


def document_doors(app: FastAPI, needs_token: Callable[[str, str], bool | None]) -> None:
    """Say of each route who may ask, and what becomes of others.

    Args:
        needs_token: by method and path; None where it depends on the settings.
    """
    document = app.openapi()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = needs_token(method.upper(), path)
            kinds = [TOO_MANY_REQUESTS]
            if needed is not False:
                operation["security"] = [{"token": []}] if needed else [{}, {"token": []}]
                kinds += [UNAUTHORIZED, FORBIDDEN] if needed else [UNAUTHORIZED]
            for status, response in problem_responses(kinds).items():
                known = operation["responses"].setdefault(str(status), response)
                of_doors = response["content"][MEDIA_TYPE]["examples"]
                known["content"][MEDIA_TYPE]["examples"] |= of_doors
