"""What a person may choose about what is measured; plain values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from si_stream.learning.options import Options


class HoldoutOptions(Options):
    """Samples that are tested on and never learned from: how forgetting is seen."""

    source: Literal["messages", "divert", "off"] = Field(
        "messages",
        description="messages: samples of role holdout in the stream, as benchmarks send their "
        "test sets; divert: a share of the stream itself; off: none, so no forgetting is measured",
    )
    capacity: int = Field(
        2500,
        ge=1,
        description="samples kept of each task; at an accuracy of 0.95 the standard error of "
        "2,500 is 0.4 points",
    )
    share: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="divert: of the samples, chosen by a hash of the sample, so that the same "
        "sample is never learned on another occasion",
    )
    evaluation_interval_steps: int = Field(
        500,
        ge=1,
        description="steps between evaluations of the active task and of one other; all tasks are "
        "evaluated at each boundary. With sets of 2,000 and batches of 64, 500 cost some 3 % of "
        "learning, 200 some 8 %",
    )


class PlasticityOptions(Options):
    """Whether new tasks are still learned as the first ones were: how stiffness is seen."""

    first_samples: int = Field(
        1000,
        ge=2,
        description="of a new task, predicted before they are learned, show how fast it is "
        "learned. At an accuracy of 0.8 the standard error of 1,000 is 1.3 points; with half of "
        "them a task still counts, as the shortest does that is detected "
        "(detection.min_task_samples). Tasks are compared with the first, so keep it for life",
    )
