"""The live page's routes: the document, its files, and what it is told.

Invariant: none of them is in a prediction's way; what reads files does so off the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent, format_sse_event
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from services.predictor.documentation import (
    NO_FILE,
    NO_PLACE,
    PAGE_FILE,
)
from services.predictor.listeners import EVENTS, Listeners
from services.predictor.page_files import FOR_GOOD, SECURITY, PageFiles
from services.web.documentation import FAULT


def add_page(app: FastAPI, listeners: Listeners) -> None:
    files = PageFiles()

    @app.get("/", operation_id="page", response_class=HTMLResponse, responses=FAULT)
    async def page() -> Response:
        """The live page: how the learner is, what it forgets, and a box to try the model with."""
        return HTMLResponse(files.document, headers={"Cache-Control": "no-cache", **SECURITY})

    @app.get(
        "/page/{version}/{name}",
        operation_id="page_file",
        response_class=Response,
        responses={**NO_FILE, 200: {"description": "one of the page's files", "content": CONTENT}},
        openapi_extra=PAGE_FILE,
    )
    async def page_file(request: Request) -> Response:
        """A file of the page, at an address that it alone will ever have."""
        file = files.find(**request.path_params)
        if file is None:
            raise HTTPException(404)
        headers = {**FOR_GOOD, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            content = await run_in_threadpool(lambda: file.gzipped)
            headers["Content-Encoding"] = "gzip"
        else:
            content = await run_in_threadpool(lambda: file.content)
        return Response(content, media_type=file.media_type, headers=headers)

    @app.get(
        EVENTS,
        operation_id="events",
        response_class=Response,  # with that of events the framework wants a generator
        dependencies=[Depends(listeners.joined)],
        responses={**NO_PLACE, 200: {"description": "server-sent events", "content": STREAM}},
    )
    async def events() -> EventSourceResponse:
        """What the page shows, as server-sent events: first all of it, then what has changed, at
        most once a second. Each is a JSON object with `sections`, by name; those in `gone` are no
        more. Where `full` is true nothing that came before counts. The section `fault` is null
        while the others are looked at. An event `alive`, `{"now_seconds": …}`, comes at least
        every ten seconds."""
        # The framework would hand each event through tasks of its own, and log a fault where a
        # page goes away meanwhile.
        return EventSourceResponse(_encoded(listeners.listen()), headers=STREAMED)


async def _encoded(events: AsyncIterator[ServerSentEvent]) -> AsyncIterator[bytes]:
    async for event in events:
        data = event.raw_data if event.data is None else orjson.dumps(event.data).decode()
        yield format_sse_event(data_str=data, event=event.event, id=event.id, retry=event.retry)


STREAM: dict[str, Any] = {"text/event-stream": {"schema": {"type": "string"}}}
STREAMED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CONTENT: dict[str, Any] = {
    media_type: {"schema": {"type": "string"}}
    for media_type in ("text/css", "text/javascript", "image/svg+xml")
}
