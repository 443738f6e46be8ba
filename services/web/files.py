"""A file over HTTP, or the rest of it: what was begun goes on after a broken connection.

Invariant: it is opened before anything is answered, so one that is removed meanwhile is sent to its
end; it is read off the event loop, a piece at a time, as fast as the client takes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from io import BufferedReader
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.web.problems import Kind, problem

PIECE_BYTES = 256 * 1024
RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
NOT_SATISFIABLE = Kind(
    416,
    "range-not-satisfiable",
    "The file does not have this range",
    "the file has 1024 bytes, and the range begins at 2048",
)


Answer = Callable[[Request], Awaitable[Response]]


def file_route(
    app: FastAPI, path: str, operation_id: str, **documented: Any
) -> Callable[[Answer], Answer]:
    """Have a function answer GET and HEAD, each an operation of its own in the document."""

    def add(answer: Answer) -> Answer:
        told: dict[str, Any] = {"response_class": Response, **documented}
        app.get(path, operation_id=operation_id, **told)(answer)
        app.head(path, operation_id=f"{operation_id}_head", **told)(answer)
        return answer

    return add


def matches(condition: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` has this one.

    >>> matches('W/"a", "b"', '"b"'), matches("*", '"b"'), matches('"a"', '"b"')
    (True, True, False)
    """
    if condition is None:
        return False
    known = [one.strip().removeprefix("W/") for one in condition.split(",")]
    return etag in known or "*" in known


async def sent(
    request: Request, file: BufferedReader, etag: str, media_type: str, headers: Mapping[str, str]
) -> Response:
    """What a client asked for of a file, which is closed when it has been sent.

    One range is answered; several, and what is no range, are answered with the whole file.

    Args:
        etag: strong, in quotes; where the client's ``If-Range`` is another, it gets the whole.
    """
    size = os.fstat(file.fileno()).st_size
    headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    found = RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    start, end, status = 0, size, 200
    if found and condition in (None, etag):
        start = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
        status = 206
        if start >= end:
            file.close()
            detail = f"the file has {size} bytes, and the range is {found.group()}"
            headers["Content-Range"] = f"bytes */{size}"
            return problem(NOT_SATISFIABLE, detail, headers=headers)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        file.close()
        return Response(None, status, headers, media_type)
    return StreamingResponse(_pieces(file, start, end), status, headers, media_type)


async def _pieces(file: BufferedReader, start: int, end: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(start)
        while start < end:
            piece = await run_in_threadpool(file.read, min(PIECE_BYTES, end - start))
            if not piece:
                raise EOFError("the file has become shorter while it was sent")
            start += len(piece)
            yield piece
