"""How a learner is: what its `/health` answers, and what stands in its directory for those who
only have that.

Invariant: it is told, never obeyed; nothing that is learned or saved depends on it. One that is
damaged counts as none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from si_stream.checkpoints.files import read_limited

NAME = "status.json"
LIMIT_BYTES = 1024 * 1024  # it takes a few thousand
AWAY_SECONDS = 5.0  # five writings in a row have not come
Kind = Literal["learning", "waiting", "idle", "stopped"]


class Awaited(BaseModel):
    """The partition that messages of all others wait for."""

    partition: int
    seconds: float = Field(description="for how long")


class LastCheckpoint(BaseModel):
    """The newest one that was written, or gone on from."""

    step: int
    samples: int
    written_seconds: float = Field(description="Unix time")
    duration_seconds: float | None = Field(
        description="that writing it took; null for one that was gone on from"
    )
    bytes: int | None = Field(description="its size; null for one that was gone on from")


class LastSnapshot(BaseModel):
    step: int
    written_seconds: float = Field(description="Unix time")


class LearnerStatus(BaseModel):
    format: Literal["si-stream-status/1"] = "si-stream-status/1"
    version: str = Field(description="of si-stream")
    written_seconds: float = Field(description="Unix time, at most a second ago while it lives")
    started_seconds: float = Field(description="Unix time")
    pid: int = Field(gt=0, lt=2**31)
    status: Kind = Field(
        description="learning; waiting for one of several partitions; idle, as no batch was "
        "learned for ten seconds; stopped in good order, with all saved that can be"
    )
    model: str
    stream: str
    network: str
    consolidator: str
    strength: float
    detector: str = Field(description="of boundaries that nobody announces, or off")
    shadow: str
    device: str
    epoch: int
    step: int = Field(description="batches learned in the model's life")
    samples: int = Field(description="of these")
    active_task: str | None
    awaited_partition: Awaited | None
    position: dict[int, tuple[int, int]] = Field(
        description="by partition: offset, and row in it, of the next sample to learn"
    )
    lag_messages: dict[int, int] = Field(
        description="by partition: messages behind the position; empty until first measured"
    )
    steps_per_second: float = Field(description="over the last ten seconds")
    samples_per_second: float = Field(description="over the last ten seconds")
    last_batch_seconds: float | None = Field(description="Unix time; null before the first")
    checkpoint: LastCheckpoint | None
    snapshot: LastSnapshot | None
    skipped_batches: int = Field(description="whose loss or gradient was not finite")
    quarantined_batches: int = Field(description="that the process had died of repeatedly")
    metrics_address: str | None

    def is_away(self, now_seconds: float) -> bool:
        """Whether it should have been written anew by then, and was not: the process is gone, or
        cannot write. A time to come is that of a clock which was set back since."""
        return self.status != "stopped" and abs(now_seconds - self.written_seconds) > AWAY_SECONDS


def read_status(directory: Path) -> LearnerStatus | None:
    """What a learner last said in a model's directory; None where there is nothing to be read."""
    try:
        return LearnerStatus.model_validate_json(read_limited(directory / NAME, LIMIT_BYTES))
    except (OSError, ValidationError):
        return None
