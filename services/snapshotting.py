"""From the state of a learner to the snapshot that predictors serve."""

from __future__ import annotations

from si_stream.checkpoints.snapshots import ServedTask, Snapshot, SnapshotManifest
from si_stream.learning.frozen import weights_of
from si_stream.state import State


def make_snapshot(state: State, epoch: int, written_seconds: float) -> Snapshot:
    """What a predictor needs of a state, as it is now; a copy."""
    ledger, measures = state.ledger, state.measures()
    tasks = []
    for task in ledger.tasks.known:
        live = measures["main"].live.get(task.name)
        tested = measures["main"].prequential.tasks.get(task.name)
        tasks.append(
            ServedTask(
                name=task.name,
                head=task.head,
                classes=task.classes,
                samples=tested.samples if tested else 0,
                holdout_accuracy=live.accuracy if live else None,
                holdout_samples=live.samples if live else 0,
            )
        )
    manifest = SnapshotManifest(
        epoch=epoch,
        step=ledger.steps,
        written_seconds=written_seconds,
        model=state.settings.model,
        tasks=[task for task in tasks if task.head < len(state.main.learner.heads)],
        active_task=ledger.tasks.active.name if ledger.tasks.active else None,
        position={k: (v.offset, v.row) for k, v in ledger.position.items()},
        samples=ledger.samples,
        tracks={name: measured.copied() for name, measured in measures.items()},
    )
    weights = weights_of(state.main.learner.state())
    return Snapshot(manifest, {name: tensor.cpu().clone() for name, tensor in weights.items()})
