"""What the learner's OpenAPI document says of its files: headers, ranges and every answer."""

from __future__ import annotations

from typing import Any

from services.learner_api.problems import KINDS
from services.web.documentation import Responses, in_path, problem_responses
from services.web.files import NOT_SATISFIABLE
from si_stream.errors import Gone, NoSnapshotYet, NothingThere

ETAG_OF_SNAPSHOT = "The SHA-256 of the file, in quotes."
ETAG_OF_JOURNAL = "That of its first line: it stays while the file grows."


def _in_header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _number(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "integer"}}


RANGE = [
    _in_header("Range", "`bytes=FIRST-` or `bytes=FIRST-LAST`; several are answered with all."),
    _in_header("If-Range", "An ETag; where the file has another by now, it is answered whole."),
]
NOT_NEWER = [_in_header("If-None-Match", "An ETag; where it still counts, 304.")]
OF_NEWEST = {
    "Content-Location": _text("Its address for good."),
    "SI-Stream-Epoch": _number("Of two snapshots, that of the higher epoch is newer,"),
    "SI-Stream-Number": _number("and in one epoch that of the higher number."),
    "SI-Stream-Step": _number("Batches that it has learned."),
}


def _file(media_type: str, etag: str, headers: dict[str, Any], *, can_be_known: bool) -> Responses:
    told = {"ETag": _text(etag), "Accept-Ranges": _text("`bytes`"), **headers}
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    range_of = {"Content-Range": _text("`bytes FIRST-LAST/ALL`")}
    responses: Responses = {
        200: {"description": "the whole file", "headers": told, "content": content},
        206: {"description": "the range", "headers": told | range_of, "content": content},
    }
    if can_be_known:
        responses[304] = {"description": "it is the one of If-None-Match", "headers": told}
    return responses


SAFETENSORS = "application/octet-stream"
NEWEST: dict[str, Any] = {
    "responses": {
        **_file(SAFETENSORS, ETAG_OF_SNAPSHOT, OF_NEWEST, can_be_known=True),
        **problem_responses([NOT_SATISFIABLE, KINDS[NoSnapshotYet]]),
    },
    "openapi_extra": {"parameters": [*NOT_NEWER, *RANGE]},
}
SNAPSHOT: dict[str, Any] = {
    "responses": {
        **_file(SAFETENSORS, ETAG_OF_SNAPSHOT, {}, can_be_known=True),
        **problem_responses([NOT_SATISFIABLE, KINDS[NothingThere], KINDS[Gone]]),
    },
    "openapi_extra": {
        "parameters": [
            in_path("epoch", "as six digits or more"),
            in_path("name", "NUMBER-SHA256.safetensors, as the newest's Content-Location has it"),
            *NOT_NEWER,
            *RANGE,
        ]
    },
}
JOURNAL: dict[str, Any] = {
    "responses": {
        **_file("application/jsonl", ETAG_OF_JOURNAL, {}, can_be_known=False),
        **problem_responses([NOT_SATISFIABLE, KINDS[NothingThere]]),
    },
    "openapi_extra": {"parameters": RANGE},
}
