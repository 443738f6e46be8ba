"""The ports: free to be listened on, or answered by a process of ours."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from services.doctor.finding import Finding, fail, ok
from si_stream.settings import Settings

ANSWER_SECONDS = 3.0


def look(settings: Settings) -> Iterator[Finding]:
    learner, predictor = settings.learner, settings.predictor
    yield of_port(
        ("learner", "learner.metrics"), learner.metrics_host, learner.metrics_port, "/health"
    )
    yield of_port(("predictor", "predictor."), predictor.host, predictor.port, "/healthz/live")


def of_port(who: tuple[str, str], host: str, port: int, path: str) -> Finding:
    """Args:
    who: whose it is, and how its settings begin.
    path: what a process of ours answers there as JSON with a `status`.
    """
    name, setting = who
    setting += "" if setting.endswith(".") else "_"
    about = f"ports: {name}"
    if port == 0:
        return ok(about, "any free one is taken")
    error = listening_fails(host, port)
    if error is None:
        return ok(about, f"{port} of {host} is free")
    if error.errno == errno.EADDRINUSE:
        answer = ask(f"{url_of(host, port)}{path}")
        if isinstance(answer, dict) and "status" in answer:
            return ok(about, f"{port} of {host} is answered by a {name}: {answer['status']}")
        return fail(
            about,
            f"{port} of {host} is in use by another program",
            f"stop what listens there (ss --tcp --listening --processes), or set {setting}port",
        )
    return fail(
        about,
        f"{port} of {host} cannot be listened on: {error.strerror}",
        f"set {setting}host to an address of this machine, {setting}port to 1024 or above",
    )


def listening_fails(host: str, port: int) -> OSError | None:
    """Why the port cannot be listened on; it is let go of at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error
    return None


def url_of(host: str, port: int) -> str:
    """Where a process that listens there is asked from this machine.

    >>> url_of("0.0.0.0", 9101), url_of("::", 80)
    ('http://127.0.0.1:9101', 'http://[::1]:80')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ask(url: str, timeout_seconds: float = ANSWER_SECONDS) -> Any:
    """What is answered there as JSON, whatever its status; None where nothing is."""
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(url, timeout=timeout_seconds) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            try:
                return json.load(error)
            except (ValueError, OSError):
                return None
    except (URLError, OSError, ValueError):  # http.client's own are no OSError
        return None
    except Exception:  # noqa: BLE001 - HTTPException: what answers there is no HTTP server
        return None
