"""From the state of a learner to the snapshot that predictors serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from si_stream.boundaries.choice import TaskChooser
from si_stream.boundaries.tasks import Task
from si_stream.checkpoints.snapshots import ServedChoice, ServedTask, Snapshot, SnapshotManifest
from si_stream.evaluation.measures import Measures
from si_stream.learning.frozen import weights_of
from si_stream.learning.options import ModelOptions
from si_stream.state import Ledger


def make_snapshot(
    model: ModelOptions,
    ledger: Ledger,
    measures: Mapping[str, Measures],
    tensors: Mapping[str, Tensor],
    epoch: int,
    written_seconds: float,
    chooser: TaskChooser | None = None,
) -> Snapshot:
    """What a predictor needs of a state, as it is now; a copy.

    Args:
        tensors: of the main learner.
        chooser: for inputs that name no task, as `choosable` adds it.
    """
    weights = {name: tensor.cpu().clone() for name, tensor in weights_of(tensors).items()}
    main = measures["main"]
    opened = [
        task
        for task in ledger.tasks.known
        if f"heads.{task.head}.weights" in weights and ledger.labels_of(task.head, model) != []
    ]
    tasks = []
    for task in opened:
        live, tested = main.live.get(task.name), main.prequential.tasks.get(task.name)
        tasks.append(
            ServedTask(
                name=task.name,
                number=task.number,
                head=task.head,
                classes=task.classes,
                labels=ledger.labels_of(task.head, model),
                samples=tested.samples if tested else 0,
                holdout_accuracy=live.accuracy if live else None,
                holdout_samples=live.samples if live else 0,
            )
        )
    manifest = SnapshotManifest(
        epoch=epoch,
        step=ledger.steps,
        written_seconds=written_seconds,
        model=model,
        tasks=tasks,
        active_task=ledger.tasks.active.name if ledger.tasks.active else None,
        position={k: (v.offset, v.row) for k, v in ledger.position.items()},
        samples=ledger.samples,
        tracks={name: measured.without_answers() for name, measured in measures.items()},
    )
    return choosable(Snapshot(manifest, weights), ledger.tasks.known, chooser)


def choosable(snapshot: Snapshot, known: Iterable[Task], chooser: TaskChooser | None) -> Snapshot:
    """With what a task is chosen by for inputs that name none; it is not copied, as it never
    changes.

    Args:
        known: the tasks by whose numbers the chooser calls them.
    """
    if chooser is None:
        return snapshot
    numbers, by = chooser
    place_of = {task.name: place for place, task in enumerate(snapshot.manifest.tasks)}
    places = {task.number: place_of[task.name] for task in known if task.name in place_of}
    portraits = {
        places[number]: likeness
        for number, likeness in zip(numbers, by.likenesses, strict=True)
        if number in places
    }
    choice = ServedChoice(temperature=by.temperature, fitted_samples=by.fitted_samples)
    manifest = snapshot.manifest.model_copy(update={"choice": choice})
    return Snapshot(manifest, snapshot.weights, portraits)
