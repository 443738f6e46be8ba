"""A learner elsewhere that answers as a test has it, byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

Script = Callable[["Asked"], None]


class Asked(BaseHTTPRequestHandler):
    """A request; `server.script` answers it."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """With a Content-Length unless another is given."""
        self.send_response(status)
        told = {"Content_Length": str(len(body)), **headers}
        for name, value in told.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def offer(self, path: Path) -> None:
        """As the newest snapshot."""
        digest = path.stem.partition("-")[2]
        if self.headers["If-None-Match"] == f'"{digest}"':
            self.answer(304)
        else:
            address = f"/snapshots/{path.parent.parent.name}/{path.name}"
            self.answer(200, ETag=f'"{digest}"', Content_Location=address)

    def do_GET(self) -> None:
        self.server.asked.append(  # type: ignore[attr-defined]
            (self.command, self.path, dict(self.headers))
        )
        self.server.script(self)  # type: ignore[attr-defined]

    do_HEAD = do_GET

    def log_message(self, *arguments: Any) -> None:
        """No line for each request."""


class Scripted(ThreadingHTTPServer):
    """Attributes:
    script: how it answers; may be changed at any time.
    asked: method, path and headers of each request.
    """

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.script = script
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def downloads(self) -> list[dict[str, str]]:
        """The headers with which snapshots were asked for."""
        return [
            headers
            for method, path, headers in self.asked
            if method == "GET" and path.startswith("/snapshots/")
        ]


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    with Scripted(script) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def with_snapshot(path: Path, download: Script) -> Script:
    """One whose newest snapshot is that of the file, downloaded as the other script has it."""

    def script(asked: Asked) -> None:
        if asked.path == "/snapshots/newest":
            asked.offer(path)
        elif asked.path.startswith("/snapshots/"):
            download(asked)
        else:
            asked.answer(404)

    return script


def cut_short(content: bytes) -> Script:
    return lambda asked: asked.answer(200, content[:-9])
