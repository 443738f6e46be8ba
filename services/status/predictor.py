"""The predictor, by what it answers, and what it knows of the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.asking import NO_KEY, Answer, Key, ask, url_of
from services.status.seen import Knowledge, KnownTask, SeenPredictor, SeenSource
from si_stream.settings import Settings

WANTS_TOKEN = "it wants a token, or another one; set predictor.token_file as it has it"
NO_PREDICTOR = (KeyError, TypeError, AttributeError, ValueError)
"""What reading the answer of another program, or of another version, may end in."""


def at_address(
    address: str, model: str | None, key: Key = NO_KEY, *, wanted: bool
) -> SeenPredictor:
    """Args:
    model: that it should serve, where that is known.
    wanted: whether it is a problem that none answers.
    """
    ready = ask(f"{address}/healthz/ready", key)
    if ready is None:
        problem = "nothing answers there; start one (si-stream predictor)" if wanted else None
        return SeenPredictor(address=address, problem=problem)
    if (reason := not_ready(ready)) is not None:
        return SeenPredictor(address=address, problem=reason)
    tasks = ask(f"{address}/tasks", key)
    if tasks is not None and tasks.status == 401:
        return SeenPredictor(address=address, problem=f"it can answer, but {WANTS_TOKEN}")
    seen = _ready(address, ready, tasks)
    if seen is None:
        problem = "what answers there is no predictor; name its --predictor"
        return SeenPredictor(address=address, problem=problem if wanted else None)
    seen.source = source_of(address, key)
    if None not in (model, seen.model) and seen.model != model:
        seen.problem = f"it serves another model, {seen.model}; name this one's with --predictor"
    return seen


def source_of(address: str, key: Key) -> SeenSource | None:
    """What it follows; None of a version that does not say so."""
    answer = ask(f"{address}/source", key)
    try:
        return SeenSource.model_validate(answer.body) if answer else None
    except ValidationError:
        return None


def not_ready(answer: Answer) -> str | None:
    """Why a predictor that answered has no model yet; None of any other answer."""
    if answer.status != 503 or not isinstance(answer.body, dict):
        return None
    detail = answer.body.get("detail")
    return detail if isinstance(detail, str) else None


def model_of(tasks: Answer) -> str | None:
    """The model that a predictor's tasks are of; None where the answer is no predictor's."""
    try:
        return str(tasks.body["model"]["name"])
    except NO_PREDICTOR:
        return None


def _ready(address: str, ready: Answer, tasks: Answer | None) -> SeenPredictor | None:
    """A predictor that answers well; None where it is none."""
    if ready.status != 200:
        return None
    try:
        version = ready.body["version"]
        return SeenPredictor(
            address=address,
            ready=True,
            model=tasks.body["model"]["name"] if tasks else None,
            version=(version["epoch"], version["step"]),
        )
    except NO_PREDICTOR:
        return None


def address_of(settings: Settings) -> str | None:
    """Where the settings have it listen; None where that is any free port."""
    options = settings.predictor
    tls = options.tls_certificate_file is not None
    return url_of(options.host, options.port, tls=tls) if options.port else None


def knowledge_of(address: str, key: Key = NO_KEY) -> Knowledge | None:
    """What a predictor that is ready knows; None where it does not say so as this version does."""
    tasks, matrices = ask(f"{address}/tasks", key), ask(f"{address}/accuracy-matrix", key)
    if tasks is None or matrices is None:
        return None
    try:
        return _known(address, tasks.body, matrices.body)
    except NO_PREDICTOR:
        return None


def _known(address: str, tasks: Any, matrices: Any) -> Knowledge:
    tracks: dict[str, Any] = matrices["tracks"]
    version = tasks["version"]
    return Knowledge(
        source=address,
        version=(version["epoch"], version["step"]),
        tasks=[
            KnownTask(
                name=task["name"],
                samples=task["samples"],
                holdout_accuracy=task["holdout_accuracy"],
                holdout_samples=task["holdout_samples"],
                forgetting={
                    name: track["forgetting"].get(task["name"]) for name, track in tracks.items()
                },
            )
            for task in tasks["tasks"]
        ],
        average_accuracy={name: track["average_accuracy"] for name, track in tracks.items()},
        mean_forgetting={name: track["mean_forgetting"] for name, track in tracks.items()},
    )


def knowledge_in(directory: Path) -> Knowledge | None:
    """What the newest whole snapshot in the directory knows, where no predictor tells."""
    if not any(directory.glob("epochs/*/snapshots/*")):
        return None
    from si_stream.checkpoints.snapshots import SnapshotStore  # torch takes its second

    newest = SnapshotStore(directory).newest()
    if newest is None:
        return None
    manifest = newest.manifest
    tracks = {name: track.accuracy for name, track in manifest.tracks.items()}
    return Knowledge(
        source=str(directory),
        version=(manifest.epoch, manifest.step),
        tasks=[
            KnownTask(
                name=task.name,
                samples=task.samples,
                holdout_accuracy=task.holdout_accuracy,
                holdout_samples=task.holdout_samples,
                forgetting={name: track.forgetting(number) for name, track in tracks.items()},
            )
            for number, task in zip(manifest.numbers, manifest.tasks, strict=True)
        ],
        average_accuracy={name: track.average_accuracy() for name, track in tracks.items()},
        mean_forgetting={name: track.mean_forgetting() for name, track in tracks.items()},
    )
