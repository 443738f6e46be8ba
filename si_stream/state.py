"""The state of a learner service: everything that a checkpoint holds, and nothing else.

Invariant: the state follows from the settings and the samples before its position alone; no
clock, host or path has a part in it.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from pydantic import BaseModel
from torch import Tensor

from si_stream.batches import Batch, TaskEnd
from si_stream.boundaries.drift import DriftWatch
from si_stream.boundaries.portraits import Portraits
from si_stream.boundaries.tasks import Task, Tasks
from si_stream.brokers.interface import Position
from si_stream.evaluation.holdout import Holdouts
from si_stream.evaluation.measures import Measures
from si_stream.learning.learner import Learner
from si_stream.learning.options import ConsolidatorOptions, ModelOptions
from si_stream.merging import Cursor
from si_stream.messages.kinds import SampleSchema
from si_stream.settings import Settings
from si_stream.settings.layers import flattened
from si_stream.tracks import MAIN, SHADOW, Track


class Identity(BaseModel):
    """What a model is for good: a checkpoint of another one is refused."""

    model: ModelOptions
    optimiser: str
    consolidator: str
    fisher_samples: int | None = None
    """The size of the reservoir, where the consolidator has one."""
    shadow: str
    stream_id: str

    @classmethod
    def of(cls, settings: Settings, stream_id: str) -> Identity:
        """Of the model that these settings make on a stream."""
        keeping = settings.consolidator
        has_reservoir = keeping.kind in ("ewc", "online-ewc")
        return cls(
            model=settings.model,
            optimiser=settings.optimiser.kind,
            consolidator=keeping.kind,
            fisher_samples=keeping.fisher_samples if has_reservoir else None,
            shadow=settings.learner.shadow,
            stream_id=stream_id,
        )

    def differences(self, other: Identity) -> list[str]:
        """What differs, one ``key: this, not other`` each; the model's name may change."""
        here, there = dict(flattened(self.model_dump())), dict(flattened(other.model_dump()))
        return [
            f"{key}: {here.get(key)!r}, not {there.get(key)!r}"
            for key in sorted(here.keys() | there.keys())
            if here.get(key) != there.get(key) and key != "model.name"
        ]


REMEMBERED_DETECTIONS = 1000


class Quarantined(BaseModel):
    """A batch that the process died of again and again, by its `Batch.place`; where it lay, once
    it has been passed over."""

    place: int
    task: str | None = None
    samples: int = 0
    position: dict[int, Position] = {}
    behind: dict[int, Position] = {}


class Ledger(BaseModel):
    """What has been consumed, counted and decided so far."""

    position: dict[int, Position] = {}
    """Of each partition, the next sample not yet trained on."""
    turn: int = 0
    """The partition that the next message is taken from."""
    counted: dict[int, Position] = {}
    """Of each partition, the first row not yet counted, rejected or held out. Never before
    ``position``; what lies between the two waits for its batch, and is read again after a
    resume, but not counted again."""
    steps: int = 0
    samples: int = 0
    consolidations: int = 0
    skipped: int = 0
    """Batches whose loss or gradient was not finite; and how many of them came last in a row."""
    skipped_in_a_row: int = 0
    quarantined: list[Quarantined] = []
    rejected: dict[str, int] = {}
    ended: bool = False
    dead_letters: int = 0
    """The offset behind the last dead letter of what has been counted."""
    tasks: Tasks = Tasks()
    task_samples: int = 0
    """Of the active task, passed by: trained on, skipped or in quarantine."""
    open_labels: dict[int, list[int]] = {}
    """Of each head, the labels that have an output; empty where labels are fixed."""
    cut: tuple[int, Position] | None = None
    """Partition and place of a sample before which a detected boundary is, not yet reached."""
    detections: list[int] = []
    """How many samples had been learned at each of the latest detected boundaries."""
    told_at: int | None = None
    """How many samples will have been learned at a boundary that was told close behind a detected
    one, which it replaces."""
    changes: list[dict[str, Any]] = []
    """Learning settings that were changed on purpose, each with the position it took effect at."""

    def copied(self) -> Ledger:
        """As it is now, whatever becomes of this one."""
        return self.model_copy(
            update={
                "position": dict(self.position),
                "counted": dict(self.counted),
                "rejected": dict(self.rejected),
                "tasks": self.tasks.copied(),
                "open_labels": dict(self.open_labels),
                "quarantined": [*self.quarantined],
                "detections": [*self.detections],
                "changes": [*self.changes],
            }
        )

    def know(self, partitions: int) -> None:
        """Take partitions that the stream has got into account; only ever between two tasks."""
        self.position = {n: self.position.get(n, Position()) for n in range(partitions)}

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.position, self.turn)

    def stand_at(self, cursor: Cursor) -> None:
        """All before this place has been trained on, or has nothing to train on."""
        self.position, self.turn = cursor

    def learned(self, batch: Batch, *, finite: bool = True) -> None:
        """A batch has been trained on, or skipped: the next sample is the one behind it."""
        self._pass(batch)
        if finite:
            self.steps += 1
            self.samples += batch.size
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1

    def labels_of(self, head: int, model: ModelOptions) -> list[int] | None:
        """Those that a head has an output for, rising; None where they are fixed."""
        if model.labels == "fixed":
            return None
        return self.open_labels.get(head, list(range(model.outputs)))

    def opened_by(self, batch: Batch, model: ModelOptions) -> list[int]:
        """Note the labels of a batch that has been trained on; those that were new, rising."""
        known = self.labels_of(batch.task.head, model)
        if known is None:
            return []
        new = sorted(set(batch.labels.tolist()).difference(known))
        self.open_labels[batch.task.head] = sorted([*known, *new]) if new else known
        return new

    def passes_over(self, batch: Batch) -> bool:
        """Whether the batch is in quarantine; then the next sample is the one behind it."""
        for number, entry in enumerate(self.quarantined):
            if entry.place == batch.place:
                self.quarantined[number] = Quarantined(
                    place=batch.place,
                    task=batch.task.name,
                    samples=batch.size,
                    position=self.position,
                    behind=batch.then.positions,
                )
                self._pass(batch)
                return True
        return False

    def _pass(self, batch: Batch) -> None:
        self.stand_at(batch.then)
        self.task_samples += batch.size
        self.ended = False

    def end_task(self, end: TaskEnd) -> Task | None:
        """A boundary or the end has been reached: the task that was active until then."""
        task = self.tasks.active
        self.stand_at(end.behind)
        self.tasks.end(end.event_ids, end.next_task)
        self.ended = end.ends_stream
        self.consolidations += task is not None
        self.task_samples = 0
        if end.source == "detected":
            self.detections = [*self.detections, self.samples][-REMEMBERED_DETECTIONS:]
        self.cut = self.told_at = None
        return task


class State:
    """Args:
        settings: of the learner; `Settings.require_model` has passed.
        stream_id: of the stream that it is born on.

    Raises:
        SettingsError: the settings contradict one another or this machine.
    """

    def __init__(self, settings: Settings, stream_id: str) -> None:
        self.settings = settings
        model, shadow = settings.model, settings.learner.shadow
        keeping = settings.consolidator
        self.identity = Identity.of(settings, stream_id)
        self.schema = SampleSchema(model.input_shape, model.dtype, model.width, model.labels)
        self.ledger = Ledger()
        self.holdouts = Holdouts(settings.holdout)
        self.drift = (
            DriftWatch(settings.detection, model.input_shape, model.width)
            if settings.detection.kind != "off"
            else None
        )
        self.portraits = Portraits(model.input_shape, model.width)
        self.tracks = [Track(MAIN, self._learner(keeping), settings.plasticity)]
        if shadow != "off":
            fine_tuning = ConsolidatorOptions(kind=shadow)
            self.tracks.append(Track(SHADOW, self._learner(fine_tuning), settings.plasticity))

    @property
    def main(self) -> Track:
        return self.tracks[0]

    def tensors(self) -> dict[str, Tensor]:
        """Of every track's learner, by name; the live ones, not copies."""
        tensors = {
            f"{track.name}/{name}": tensor
            for track in self.tracks
            for name, tensor in track.learner.state().items()
        }
        if self.drift is not None:
            watched = self.drift.state().items()
            tensors |= {f"drift/{name}": as_tensor(value) for name, value in watched}
        portraits = self.portraits.state().items()
        return tensors | {f"portraits/{name}": tensor for name, tensor in portraits}

    def settled(self) -> dict[str, Tensor]:
        """Of the tensors, those that never change again, whatever is learned."""
        return {f"portraits/{name}": one for name, one in self.portraits.settled().items()}

    def measures(self) -> dict[str, Measures]:
        for track in self.tracks:
            track.read_tally()
        return {track.name: track.measures for track in self.tracks}

    def resume(
        self, ledger: Ledger, measures: dict[str, Measures], tensors: dict[str, Tensor]
    ) -> None:
        """Go on from a checkpoint of the same `identity`.

        Raises:
            ValueError: the tensors are of another network.
            CheckpointError: the detector's are of another version of river.
        """
        self.ledger = ledger
        for track in self.tracks:
            track.learner.load_state(_part(tensors, track.name))
            track.resume(measures[track.name])
        self.portraits.load(_part(tensors, "portraits"))
        if self.drift is not None:
            self.drift.reset()
            if watched := _part(tensors, "drift"):
                self.drift.load({name: tensor.numpy() for name, tensor in watched.items()})

    def _learner(self, consolidator: ConsolidatorOptions) -> Learner:
        settings = self.settings
        return Learner(settings.model, settings.optimiser, consolidator, settings.compute)


def as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """Of the same memory, where that may be written to."""
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
