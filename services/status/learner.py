"""The learner, by what it wrote in its directory or by what it answers."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import ValidationError

from services.asking import NO_KEY, Key, ask
from services.learner_status import NAME, LearnerStatus, read_status
from services.processes import is_alive
from services.quantities import seconds
from services.status.seen import SeenLearner

START = "si-stream serve, or si-stream learner, goes on from the newest checkpoint"


def in_directory(directory: Path) -> SeenLearner:
    """As it says itself, once a second, in its directory."""
    place, file = str(directory), directory / NAME
    status = read_status(directory)
    if status is None:
        what = f"{file} cannot be read" if file.exists() else f"there is no {file}"
        return SeenLearner(
            place=place,
            problem=f"{what}: no learner of this version has run there; name its --directory or "
            "--url, or start one (si-stream serve)",
        )
    return SeenLearner(place=place, status=status, problem=_problem(status, time.time()))


def at_address(url: str, key: Key = NO_KEY) -> SeenLearner:
    """As it answers at its metrics address."""
    address = url.removesuffix("/metrics").removesuffix("/health")
    answer = ask(f"{address}/health", key)  # which is open to all
    try:
        status = LearnerStatus.model_validate(answer.body) if answer else None
    except ValidationError:
        status = None
    if status is None:
        return SeenLearner(
            place=address,
            problem="no learner of this version answers there"
            if answer is None
            else "what answers there is no learner of this version",
        )
    problem = f"it has stopped: {START}" if status.status == "stopped" else None
    return SeenLearner(place=address, status=status, problem=problem)


def _problem(status: LearnerStatus, now_seconds: float) -> str | None:
    ago = f"{seconds(max(0.0, now_seconds - status.written_seconds))} ago"
    if status.status == "stopped":
        return f"it stopped in good order {ago}: {START}"
    if not status.is_away(now_seconds):
        return None
    if is_alive(status.pid):
        return (
            f"it was last heard of {ago}, and this machine has a process {status.pid}: it hangs, "
            "cannot write, or is another program by now; look at its log and at the disk"
        )
    return (
        f"it was last heard of {ago}, and its process {status.pid} is gone from this machine: its "
        f"log says why; {START}"
    )
