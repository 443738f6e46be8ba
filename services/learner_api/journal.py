"""The journal over HTTP: both of its files, from any byte on.

Invariant: a file is known by its ETag, which is that of its first line, for what stands in it is
only ever added to. So whoever has read some of it asks for the rest with ``Range`` and
``If-Range``, and gets the whole of the file that is there instead where it is another one.
"""

from __future__ import annotations

from hashlib import sha256
from io import BufferedReader
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from services.journal import FORMER, NAME
from services.journal_reading import CHUNK_BYTES
from services.learner_api.documentation import JOURNAL
from services.web.files import file_route, sent
from si_stream.checkpoints.files import open_regular
from si_stream.errors import NothingThere

MEDIA_TYPE = "application/jsonl"
PATHS = {NAME: "/journal", FORMER: "/journal/former"}


def etag_of(first_line: bytes) -> str:
    return f'"{sha256(first_line).hexdigest()}"'


def add_journal(app: FastAPI, directory: Path) -> None:
    async def answer(request: Request, name: str) -> Response:
        file, etag = await run_in_threadpool(_opened, directory / name)
        return await sent(request, file, etag, MEDIA_TYPE, {"Cache-Control": "private, no-cache"})

    @file_route(app, PATHS[NAME], "journal", **JOURNAL)
    async def journal(request: Request) -> Response:
        """What happened in the model's life: a JSON object a line, in the order of time. The file
        grows; its ETag stays until it is put aside as the former one and another is begun."""
        return await answer(request, NAME)

    @file_route(app, PATHS[FORMER], "former_journal", **JOURNAL)
    async def former_journal(request: Request) -> Response:
        """What had happened before the journal's file was begun."""
        return await answer(request, FORMER)


def _opened(path: Path) -> tuple[BufferedReader, str]:
    """Raises:
    NothingThere: it is not there, or has no whole line.
    """
    try:
        file = open_regular(path)
    except OSError as error:
        raise NothingThere(f"there is no {path.name} yet; ask again later") from error
    first = file.readline(CHUNK_BYTES)
    if not first.endswith(b"\n"):
        file.close()
        raise NothingThere(f"there is nothing in {path.name} yet; ask again later")
    return file, etag_of(first)
