"""The predictor, by what it answers, and what it knows of the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.asking import Answer, ask, url_of
from services.status.seen import Knowledge, KnownTask, SeenPredictor
from si_stream.settings import Settings


def at_address(address: str, model: str | None, *, wanted: bool) -> SeenPredictor:
    """Args:
    model: that it should serve, where that is known.
    wanted: whether it is a problem that none answers.
    """
    ready = ask(f"{address}/healthz/ready")
    if ready is None:
        problem = "nothing answers there; start one (si-stream predictor)" if wanted else None
        return SeenPredictor(address=address, problem=problem)
    tasks = ask(f"{address}/tasks") if ready.status == 200 else None
    try:
        if ready.status != 200:
            detail = str(ready.body["detail"])
            return SeenPredictor(address=address, problem=detail)
        version = ready.body["version"]
        served = tasks.body["model"]["name"] if tasks else None
        seen = SeenPredictor(
            address=address,
            ready=True,
            model=served,
            version=(version["epoch"], version["step"]),
        )
    except (KeyError, TypeError):
        problem = "what answers there is no predictor; name its --predictor"
        return SeenPredictor(address=address, problem=problem if wanted else None)
    if None not in (model, served) and served != model:
        seen.problem = f"it serves another model, {served}; name this one's with --predictor"
    return seen


def address_of(settings: Settings) -> str | None:
    """Where the settings have it listen; None where that is any free port."""
    options = settings.predictor
    return url_of(options.host, options.port) if options.port else None


def knowledge_of(address: str) -> Knowledge | None:
    """What a predictor that is ready knows."""
    tasks, matrices = ask(f"{address}/tasks"), ask(f"{address}/accuracy-matrix")
    if not (_well(tasks) and _well(matrices)):
        return None
    assert tasks is not None
    assert matrices is not None
    tracks: dict[str, Any] = matrices.body["tracks"]
    version = tasks.body["version"]
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
            for task in tasks.body["tasks"]
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


def _well(answer: Answer | None) -> bool:
    return answer is not None and answer.status == 200
