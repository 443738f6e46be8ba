"""What happens while a stream is learned: the loop says it, whoever listens makes of it what
they need (metrics, a journal, progress bars).

Invariant: plain values only, already read from the device; saying them changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from si_stream.brokers.interface import Position
from si_stream.errors import Reason

Decision = Literal[
    "no-cut", "weak-evidence", "short-task", "too-old", "told", "max-tasks", "cap", "taken"
]


@dataclass(frozen=True, slots=True)
class LearnerStarted:
    """A learner begins to write an epoch, from a checkpoint or from nothing; what another one had
    learned beyond is learned again."""

    epoch: int
    step: int
    samples: int


@dataclass(frozen=True, slots=True)
class RolledBack:
    """An operator has made an older checkpoint the first of a new epoch; what came after it counts
    no more."""

    epoch: int
    step: int
    samples: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message was decoded: how many samples of which role, when it was appended (Unix time)."""

    role: str
    samples: int
    timestamp_seconds: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message, or one row of it, was not learned from."""

    reason: Reason
    detail: str
    partition: int
    offset: int
    row: int | None


@dataclass(frozen=True, slots=True)
class Awaiting:
    """Messages of other partitions wait for one that has none; None when they do no longer."""

    partition: int | None


@dataclass(frozen=True, slots=True)
class TaskOpened:
    """A task has begun, or has been taken up again (``returned``); ``known`` tasks there are so
    far."""

    task: str
    number: int
    head: int
    known: int
    samples: int
    returned: bool = False


@dataclass(frozen=True, slots=True)
class TaskGoesOn:
    """A task has had as many samples as end one (`boundaries.every_samples`), and goes on all the
    same: as many are ``known`` as there may be, so no other could begin."""

    task: str
    known: int
    samples: int


@dataclass(frozen=True, slots=True)
class BatchLearned:
    """Every track has tested and trained on a batch of so many samples: the model's step-th."""

    task: str
    samples: int
    seconds: float
    step: int


@dataclass(frozen=True, slots=True)
class OutputsOpened:
    """Labels came to a task's head for the first time; ``open`` outputs it has now."""

    task: str
    labels: list[int]
    open: int
    step: int


@dataclass(frozen=True, slots=True)
class BatchSkipped:
    """A track has not trained on a batch, whose loss or gradient was not finite."""

    track: str
    task: str
    samples: int
    behind: dict[int, Position]


@dataclass(frozen=True, slots=True)
class BatchQuarantined:
    """A batch was passed over, as the process had died of it again and again."""

    task: str
    samples: int
    behind: dict[int, Position]


@dataclass(frozen=True, slots=True)
class Alarmed:
    """A signal (errors, say) has risen, first at ``cut``, which ``sample`` brought to light; both
    counted over the model's life. ``decision`` is `taken`, or why it was not."""

    task: str
    sample: int
    cut: int
    evidence: float
    decision: Decision
    signal: str
    behind: dict[int, Position]


@dataclass(frozen=True, slots=True)
class Rewound:
    """The state of an earlier moment was restored: so many samples are learned again."""

    samples: int
    again: int


@dataclass(frozen=True, slots=True)
class WorldCompared:
    """The first samples of a task that nobody has named were held against the known tasks.

    ``returned`` is the task that is taken up again for it, None where its world is new. ``nearest``
    is the one whose portrait is least far, with its ``distance`` and the ``limit`` below which the
    world is the same. ``sample`` is the task's first, over the model's life.
    """

    task: str
    sample: int
    returned: str | None
    nearest: str
    distance: float
    limit: float


@dataclass(frozen=True, slots=True)
class Progress:
    """The tallies of one track on the active task since it began, read every so many steps; how
    many outputs its head has open, or None where labels are fixed."""

    track: str
    task: str
    step: int
    samples: int
    tested: int
    wrong: int
    loss: float
    surrogate_loss: float
    open_outputs: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One track's holdout accuracy on one task, and what of its best is forgotten; None where it
    was not measured at a boundary before."""

    track: str
    task: str
    step: int
    samples: int
    accuracy: float
    standard_error: float
    holdout_samples: int
    forgetting: float | None
    forgetting_standard_error: float | None = None


@dataclass(frozen=True, slots=True)
class LayerMeasured:
    """‖Ω‖₂ and ‖θ − θ̃‖₂ of one of the trunk's parameters."""

    track: str
    layer: str
    importance: float
    drift: float


@dataclass(frozen=True, slots=True)
class Consolidated:
    """A task has ended; one track's row of the accuracy matrix and what it amounts to, and how
    fast and how well the newest task was learned against the first ones."""

    track: str
    task: str
    step: int
    samples: int
    row: list[float | None]
    average_accuracy: float | None
    mean_forgetting: float | None
    backward_transfer: float | None
    plasticity_speed: float | None
    plasticity_level: float | None


@dataclass(frozen=True, slots=True)
class CheckpointWritten:
    step: int
    samples: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class WritingFailed:
    """A checkpoint or a snapshot could not be written; the one before is still the newest."""

    what: Literal["checkpoint", "snapshot"]
    reason: str


@dataclass(frozen=True, slots=True)
class SnapshotPublished:
    epoch: int
    step: int
    samples: int


@dataclass(frozen=True, slots=True)
class StreamEnded:
    step: int
    samples: int


Event = (
    LearnerStarted
    | RolledBack
    | Received
    | Rejected
    | Awaiting
    | TaskOpened
    | TaskGoesOn
    | BatchLearned
    | OutputsOpened
    | BatchSkipped
    | BatchQuarantined
    | Alarmed
    | Rewound
    | WorldCompared
    | Progress
    | Evaluated
    | LayerMeasured
    | Consolidated
    | CheckpointWritten
    | WritingFailed
    | SnapshotPublished
    | StreamEnded
)
Emit = Callable[[Event], None]
