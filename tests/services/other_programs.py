"""Programs that are not ours, at ports where ours are looked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any


@contextmanager
def answering(status: int, body: Any, paths: Mapping[str, Any] | None = None) -> Iterator[int]:
    """The port of a program that answers this to everything, but well, with their own bodies, to
    some paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = paths or {}
            self.send_response(200 if self.path in known else status)
            self.end_headers()
            self.wfile.write(json.dumps(known.get(self.path, body)).encode())

        do_HEAD = do_GET

        def log_message(self, *arguments: Any) -> None:
            """No line for each request."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
