"""Variations: a detail of the authors' code done another way, to see what it is worth.

Light to import. Invariant: a variation changes its detail alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

RELU_BY_TASK = "relu-by-task"


class Variation(NamedTuple):
    """``settings`` of the learner, by group, that take the place of the benchmark's."""

    text: str
    settings: dict[str, dict[str, Any]]


VARIATIONS: dict[str, Variation] = {
    "adam-kept": Variation(
        "Adam keeps its moments and its step count over a boundary",
        {"optimiser": {"keep_over_boundary": "all"}},
    ),
    "adam-step-count": Variation(
        "Adam keeps its step count alone over a boundary",
        {"optimiser": {"keep_over_boundary": "step-count"}},
    ),
    "adam-anew": Variation(
        "Adam begins anew behind a boundary",
        {"optimiser": {"keep_over_boundary": "nothing"}},
    ),
    "pytorch-epsilon": Variation(
        "Adam's ε is added where PyTorch adds it, to the root of the corrected second moment",
        {"optimiser": {"epsilon_placement": "after-correction"}},
    ),
    "glorot-heads": Variation(
        "a head's first weights are drawn as the trunk's are (Glorot & Bengio 2010), and not 0",
        {"model": {"network": {"head_initialisation": "glorot-uniform"}}},
    ),
    RELU_BY_TASK: Variation(
        "what a task adds to Ω is never below 0, where the authors cut off the sum over tasks at 0",
        {},
    ),
}
