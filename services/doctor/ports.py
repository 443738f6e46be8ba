"""The ports: free to be listened on, or answered by a process of ours."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import ValidationError

from services.asking import Key, ask, key_of, url_of
from services.doctor.finding import Finding, State, fail, ok, refused, warn
from services.learner_status import LearnerStatus, read_status
from services.status.predictor import WANTS_TOKEN, model_of, not_ready
from si_stream.errors import SettingsError
from si_stream.settings import LearnerOptions, PredictorOptions, Settings

OTHER = "in use by another program"


class Told(NamedTuple):
    """Of what listens at a port that is taken."""

    state: State
    seen: str
    advice: str = ""
    """What to do about a warning."""


OfOurs = Callable[[Settings, str, Key], Told]


def look(settings: Settings) -> Iterator[Finding]:
    learner, predictor = settings.learner, settings.predictor
    yield of_port(
        "learner.metrics_",
        learner.metrics_host,
        learner.metrics_port,
        settings,
        learner,
        of_learner,
    )
    yield of_port("predictor.", predictor.host, predictor.port, settings, predictor, of_predictor)


def of_port(
    setting: str,
    host: str,
    port: int,
    settings: Settings,
    options: LearnerOptions | PredictorOptions,
    of_ours: OfOurs,
) -> Finding:
    """Args:
    setting: how those of the port begin.
    options: of the process that it is for.
    of_ours: looks at what listens there.
    """
    about, place = f"ports: {setting.partition('.')[0]}", f"{port} of {host}"
    if port == 0:
        return ok(about, "any free one is taken")
    error = listening_fails(host, port)
    if error is None:
        return ok(about, f"{place} is free")
    if error.errno != errno.EADDRINUSE:
        return fail(
            about,
            f"{place} cannot be listened on: {error.strerror}",
            f"set {setting}host to an address of this machine, {setting}port to 1024 or above",
        )
    url = url_of(host, port, tls=options.tls_certificate_file is not None)
    try:
        key = key_of(setting.partition(".")[0], options, own=True)
    except SettingsError as cannot_read:
        return refused(about, cannot_read)
    told = of_ours(settings, url, key)
    seen = f"{place} is {told.seen}"
    if told.state == "warn":
        return warn(about, seen, told.advice)
    if told.state == "fail":
        advice = f"stop what listens there (ss --tcp --listening --processes), or set {setting}port"
        return fail(about, seen, advice)
    return ok(about, seen)


def of_learner(settings: Settings, url: str, key: Key) -> Told:
    """Whether it is the learner that writes in this directory."""
    answer = ask(f"{url}/health", key)
    try:
        status = LearnerStatus.model_validate(answer.body if answer else None)
    except ValidationError:
        return Told("fail", OTHER)
    seen = f"answered by a learner: {status.status}"
    if status.model != settings.model.name:
        return Told("fail", f"taken by the learner of another model, {status.model}")
    written = read_status(settings.directory)
    if written is None:
        return Told(
            "warn",
            f"{seen}; no learner has written a status into {settings.directory}",
            "where it learns another model, set learner.metrics_port or --directory",
        )
    if (status.pid, status.epoch) != (written.pid, written.epoch):
        return Told(
            "fail",
            f"taken by another learner (process {status.pid}, epoch {status.epoch}) than that of "
            f"{settings.directory} (process {written.pid}, epoch {written.epoch})",
        )
    return Told("ok", seen)


def of_predictor(settings: Settings, url: str, key: Key) -> Told:
    """Whether it is a predictor of this model."""
    answer = ask(f"{url}/tasks", key)
    if answer is None:
        return Told("fail", OTHER)
    if answer.status == 401:
        return Told("warn", "answered by what may be a predictor", WANTS_TOKEN)
    if (reason := not_ready(answer)) is not None:
        return Told(
            "warn",
            f"answered by a predictor that is not ready, of which model cannot be told: {reason}",
            "look again in some seconds; without a snapshot it stays so until a learner has "
            "written one",
        )
    model = model_of(answer)
    if model is None:
        return Told("fail", OTHER)
    if model != settings.model.name:
        return Told("fail", f"taken by a predictor of another model, {model}")
    return Told("ok", "answered by a predictor of this model")


def listening_fails(host: str, port: int) -> OSError | None:
    """Why the port cannot be listened on; it is let go of at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error
    return None
