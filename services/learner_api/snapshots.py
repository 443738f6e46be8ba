"""The snapshots over HTTP: the newest one, and each at an address that it alone will ever have.

Invariant: whoever asks whether there is a newer one costs a comparison of names, however many ask;
nothing but a snapshot can be asked for.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from services.learner_api.documentation import NEWEST, SNAPSHOT
from services.web.files import file_route, matches, sent
from si_stream.checkpoints.files import open_regular, parse_name
from si_stream.checkpoints.snapshots import SUFFIX, SnapshotStore, published, read_manifest
from si_stream.errors import CorruptCheckpoint, Gone, NoSnapshotYet, NothingThere

LOOK_SECONDS = 0.1
MEDIA_TYPE = "application/octet-stream"
FOR_GOOD = {"Cache-Control": "private, max-age=31536000, immutable"}
EPOCH = re.compile(r"\d{6,9}")
NEWEST_PATH = "/snapshots/newest"


class Newest(NamedTuple):
    """The newest snapshot by its name."""

    path: Path
    size: int
    etag: str
    headers: dict[str, str]


class Snapshots:
    """Args:
    directory: of the model.
    """

    def __init__(self, directory: Path) -> None:
        self._store = SnapshotStore(directory)
        self._looking = Lock()
        self._looked = 0.0
        self._newest: Newest | None = None

    async def newest(self) -> Newest:
        """As of at most `LOOK_SECONDS` ago.

        Raises:
            NoSnapshotYet: there is none.
        """
        if time.monotonic() - self._looked > LOOK_SECONDS:
            await run_in_threadpool(self.look)
        if self._newest is None:
            raise NoSnapshotYet(
                "no snapshot has been published yet; the first one comes within seconds of the "
                "first samples: ask again then"
            )
        return self._newest

    def look(self) -> Newest | None:
        with self._looking:
            if time.monotonic() - self._looked > LOOK_SECONDS:
                path = self._store.newest_path()
                if path is None:
                    self._newest = None
                elif self._newest is None or self._newest.path != path:
                    self._newest = _described(path)
                self._looked = time.monotonic()
            return self._newest

    def opened(self, epoch: str, name: str) -> tuple[BufferedReader, str]:
        """A snapshot's file, and its ETag.

        Raises:
            NothingThere: this is no name of one, or of one to come.
            Gone: there is a newer one, and this is not there any more.
        """
        named = parse_name(Path(name))
        if EPOCH.fullmatch(epoch) is None or named is None or not name.endswith(SUFFIX):
            raise NothingThere(
                f"/snapshots/{epoch:.20}/{name:.100} is no name of a snapshot; ask for "
                f"{NEWEST_PATH}, whose Content-Location names it"
            )
        path = self._store.epochs / epoch / "snapshots" / name
        try:
            return open_regular(path), f'"{named[1]}"'
        except OSError as error:
            newest = self.look()
            if newest is not None and published(path) <= published(newest.path):
                raise Gone(
                    f"snapshot {name} of epoch {epoch} has been removed, as newer ones have come; "
                    f"ask for {NEWEST_PATH}"
                ) from error
            raise NothingThere(
                f"there is no snapshot {name} of epoch {epoch}; ask for {NEWEST_PATH}"
            ) from error


def _described(path: Path) -> Newest:
    epoch, number = published(path)
    named = parse_name(path)
    assert named is not None
    headers = {
        "Content-Location": f"/snapshots/{path.parent.parent.name}/{path.name}",
        "SI-Stream-Epoch": str(epoch),
        "SI-Stream-Number": str(number),
        "Cache-Control": "private, no-cache",
    }
    with suppress(CorruptCheckpoint):  # which whoever takes it finds out
        headers["SI-Stream-Step"] = str(read_manifest(path).step)
    return Newest(path, path.stat().st_size, f'"{named[1]}"', headers)


def add_snapshots(app: FastAPI, snapshots: Snapshots) -> None:
    @file_route(app, NEWEST_PATH, "newest_snapshot", **NEWEST)
    async def newest_snapshot(request: Request) -> Response:
        """The newest snapshot. `HEAD`, or `If-None-Match` with the ETag of the last answer, tells
        whether there is a newer one, and costs next to nothing."""
        newest = await snapshots.newest()
        if matches(request.headers.get("if-none-match"), newest.etag):
            return Response(None, 304, {**newest.headers, "ETag": newest.etag})
        if request.method == "HEAD":
            headers = {
                **newest.headers,
                "ETag": newest.etag,
                "Content-Length": str(newest.size),
                "Accept-Ranges": "bytes",
            }
            return Response(None, 200, headers, MEDIA_TYPE)
        try:
            file = await run_in_threadpool(open_regular, newest.path)
        except FileNotFoundError as error:
            raise NoSnapshotYet("a newer snapshot is being published; ask again") from error
        return await sent(request, file, newest.etag, MEDIA_TYPE, newest.headers)

    @file_route(app, "/snapshots/{epoch}/{name}", "snapshot", **SNAPSHOT)
    async def snapshot(request: Request) -> Response:
        """A snapshot, at an address that it alone will ever have; whole, or the rest of it."""
        file, etag = await run_in_threadpool(snapshots.opened, **request.path_params)
        if matches(request.headers.get("if-none-match"), etag):
            file.close()
            return Response(None, 304, {**FOR_GOOD, "ETag": etag})
        return await sent(request, file, etag, MEDIA_TYPE, FOR_GOOD)
