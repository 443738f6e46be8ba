"""The ports: free to be listened on, or answered by a process of ours."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from services.asking import ask, url_of
from services.doctor.finding import Finding, fail, ok
from si_stream.settings import Settings


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
        if answer and isinstance(answer.body, dict) and "status" in answer.body:
            return ok(about, f"{port} of {host} is answered by a {name}: {answer.body['status']}")
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
