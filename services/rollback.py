"""Rollback: an operator's return to an older checkpoint, with the stream's position or another.

Invariant: it only adds. The older checkpoint becomes the first of a new epoch, so a learner that
still runs is superseded and stops, the next one goes on from there, and predictors follow. What
came after it stays where it is, until the new epoch's checkpoints take its place.
"""

from __future__ import annotations

import re
import time
from contextlib import closing

from services.choosing import material_of
from services.journal import Journal
from services.positions import move, out_of_range
from services.snapshotting import make_snapshot
from si_stream import events
from si_stream.boundaries.portraits import Portraits
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker, Position, offsets
from si_stream.checkpoints.copies import StateCopy
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.checkpoints.store import Checkpoint, CheckpointStore, label
from si_stream.errors import IdentityMismatch, PositionOutOfRange, SettingsError
from si_stream.settings import Settings

PLACE = re.compile(r"(?:(?P<partition>\d+):)?(?P<offset>\d+)(?:\.(?P<row>\d+))?")


def run(settings: Settings, name: str, resume_at: str | None) -> None:
    """Make a checkpoint the newest again.

    Args:
        name: EPOCH/NUMBER, as `si-stream checkpoints` shows them.
        resume_at: where in the stream to go on, if not where the checkpoint was: `earliest`,
            `latest` or PARTITION:OFFSET.ROW[,…]; partitions not named stay at the checkpoint's.

    Raises:
        CorruptCheckpoint: there is no such checkpoint, or it is damaged.
        PositionOutOfRange: the stream does not hold that position.
    """
    store = CheckpointStore(settings.directory)
    checkpoint = store.read(store.find(name))
    manifest = checkpoint.manifest
    newest = next(store.newest_first(), None)
    with open_broker(settings.stream.broker, settings.kafka) as broker:
        _go_back(checkpoint, broker, settings, name, resume_at)
    epoch, now = store.claim_epoch(), time.time()
    copy = StateCopy(
        manifest.identity,
        manifest.learning,
        manifest.arithmetic,
        manifest.ledger,
        manifest.measures,
        checkpoint.tensors,
        checkpoint.holdouts,
    )
    store.write(copy, epoch, now)
    _publish(settings, checkpoint, epoch, now)
    ledger = manifest.ledger
    _tell(settings, events.RolledBack(epoch, ledger.steps, ledger.samples))
    print(f"back at checkpoint {name}: step {ledger.steps}, {ledger.samples} samples")
    print(f"learning goes on at {offsets(ledger.position)} (partition:offset), in epoch {epoch}")
    if newest is not None:
        print(f"the newest before was {label(newest)}: --to {label(newest)} undoes this")


def _tell(settings: Settings, event: events.RolledBack) -> None:
    """For who reads the journal: the page would tell of a life that counts no more."""
    with closing(Journal(settings.directory)) as journal:
        journal.hear(event)


def _go_back(
    checkpoint: Checkpoint, broker: Broker, settings: Settings, name: str, resume_at: str | None
) -> None:
    """Have the ledger say where learning goes on."""
    ledger, stream = checkpoint.manifest.ledger, settings.stream.name
    if (found := broker.stream_id(stream)) != checkpoint.manifest.identity.stream_id:
        raise IdentityMismatch(
            f"checkpoint {name} was learned from another stream (id "
            f"{checkpoint.manifest.identity.stream_id}) than {stream!r} at "
            f"{settings.stream.broker} ({found}); name its own with --broker and --stream"
        )
    bounds = {
        partition: broker.watermarks(stream, partition)
        for partition in range(broker.partitions(stream))
    }
    positions = ledger.position
    if resume_at == "earliest":
        positions = {partition: Position(bounds[partition].low) for partition in positions}
    elif resume_at == "latest":
        positions = {partition: Position(bounds[partition].high) for partition in positions}
    elif resume_at is not None:
        positions = positions | parse_positions(resume_at)
    for partition, place in positions.items():
        if partition not in bounds or partition not in ledger.position:
            raise PositionOutOfRange(
                f"stream {stream!r} had no partition {partition} at checkpoint {name}; it had "
                f"{len(ledger.position)}, numbered from 0"
            )
        if misfit := out_of_range(place, *bounds[partition]):
            raise PositionOutOfRange(
                f"stream {stream!r}, partition {partition}: {misfit}. Say where to go on with "
                "--resume-at earliest, latest or PARTITION:OFFSET"
            )
    ledger.skipped_in_a_row = 0
    reason = f"rolled back to checkpoint {name}"
    if positions != ledger.position:
        move(ledger, positions, [reason, f"to go on at {resume_at}"])
    else:
        ledger.changes.append({"position": dict(ledger.position), "changes": [reason]})


def _publish(settings: Settings, checkpoint: Checkpoint, epoch: int, now: float) -> None:
    """For predictors to follow at once, also where no learner runs."""
    manifest = checkpoint.manifest
    tensors = {
        name.removeprefix("main/"): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("main/")
    }
    model, ledger = manifest.identity.model, manifest.ledger
    portraits = Portraits(model.input_shape, model.outputs)
    portraits.load(
        {
            name.removeprefix("portraits/"): tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith("portraits/")
        }
    )
    chooser = material_of(model, ledger.tasks, portraits, checkpoint.holdouts).chooser()
    snapshot = make_snapshot(model, ledger, manifest.measures, tensors, epoch, now, chooser)
    if any(name.startswith("heads.") for name in tensors):
        SnapshotStore(settings.directory).publish(snapshot, settings.snapshots.keep)


def parse_positions(text: str) -> dict[int, Position]:
    """
    >>> parse_positions("120")
    {0: Position(offset=120, row=0)}
    >>> parse_positions("0:120.5,1:118")
    {0: Position(offset=120, row=5), 1: Position(offset=118, row=0)}

    Raises:
        SettingsError: it is none.
    """
    positions = {}
    for part in text.split(","):
        match = PLACE.fullmatch(part.strip())
        if match is None:
            raise SettingsError(
                f"--resume-at {text}: not earliest, latest or PARTITION:OFFSET.ROW[,…], as in "
                "0:120 or 0:120.5,1:118"
            )
        place = Position(int(match["offset"]), int(match["row"] or 0))
        positions[int(match["partition"] or 0)] = place
    return positions
