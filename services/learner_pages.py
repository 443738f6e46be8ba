"""What a learner answers over HTTP: its metrics, and how it is.

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

from si_stream.errors import SettingsError

Health = Callable[[], dict[str, Any]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as its base has it
        """No line for each scrape."""


@contextmanager
def served_pages(
    host: str, port: int, registry: CollectorRegistry, health: Health
) -> Iterator[str]:
    """Serve ``/metrics`` and ``/health`` meanwhile, at the address that is yielded.

    Raises:
        SettingsError: the port is taken.
    """
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            page: Iterable[bytes] = metrics(environ, start)
            return page
        start("200 OK", [("Content-Type", "application/json")])
        return [orjson.dumps(health(), option=orjson.OPT_INDENT_2) + b"\n"]

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
