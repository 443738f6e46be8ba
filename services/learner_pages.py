"""What a learner answers over HTTP: its metrics, how it is, and an operator's boundaries.

Invariant: it answers also while the broker is away or learning waits for a partition; such things
are told, for no restart would mend them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import CollectorRegistry, make_wsgi_app

from services.boundary_requests import MAX_BODY_BYTES, Answer, BoundaryRequests, problem
from services.learner_status import LearnerStatus
from si_stream.errors import SettingsError

Health = Callable[[], LearnerStatus]
Environ = dict[str, Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as its base has it
        """No line for each scrape."""


class Pages:
    """What is at which path; ``boundaries`` takes what operators ask for."""

    def __init__(
        self, registry: CollectorRegistry, health: Health, boundaries: BoundaryRequests
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._health = health
        self._boundaries = boundaries

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/health":
            return _json(start, Answer("200 OK", self._health().model_dump(mode="json")))
        if environ["PATH_INFO"] == "/boundaries":
            return _json(start, self._asked_for_boundary(environ))
        page: Iterable[bytes] = self._metrics(environ, start)
        return page

    def _asked_for_boundary(self, environ: Environ) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return problem("405 Method Not Allowed", "a boundary is asked for with POST")
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return problem("413 Content Too Large", f"{MAX_BODY_BYTES:,} bytes are the limit")
        body = environ["wsgi.input"].read(int(length))
        return self._boundaries.answer(environ.get("HTTP_AUTHORIZATION"), body)


def _json(start: Callable[..., Any], answer: Answer) -> Iterable[bytes]:
    kind = "application/json" if answer.status < "400" else "application/problem+json"
    start(answer.status, [("Content-Type", kind)])
    return [orjson.dumps(answer.body, option=orjson.OPT_INDENT_2) + b"\n"]


@contextmanager
def served_pages(host: str, port: int, app: Pages) -> Iterator[str]:
    """Serve them meanwhile, and yield the address of the metrics.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        server = make_server(host, port, app, _Server, _Quiet)
    except OSError as error:
        raise SettingsError(
            f"cannot serve metrics at {host}:{port}: {error.strerror}; "
            "choose another --set learner.metrics_port (0 takes any that is free)"
        ) from error
    thread = Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
