"""Variations: a detail of the authors' code done another way, to see what it is worth.

Light to import. Invariant: a variation changes its detail alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from si_stream.settings import Settings

RELU_BY_TASK = "relu-by-task"


class Variation(NamedTuple):
    """``settings`` of the learner, by group, that take the place of the benchmark's; whether the
    first task is learned otherwise too, or only what comes at and after its boundary."""

    text: str
    settings: dict[str, dict[str, Any]]
    from_the_first_task: bool = False


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
        "Adam begins anew after a boundary",
        {"optimiser": {"keep_over_boundary": "nothing"}},
    ),
    "pytorch-epsilon": Variation(
        "Adam's ε is added where PyTorch adds it, to the root of the corrected second moment",
        {"optimiser": {"epsilon_placement": "after-correction"}},
        from_the_first_task=True,
    ),
    "glorot-heads": Variation(
        "a head's first weights are drawn as the trunk's are (Glorot & Bengio 2010), and not 0",
        {"model": {"network": {"head_initialisation": "glorot-uniform"}}},
        from_the_first_task=True,
    ),
    RELU_BY_TASK: Variation(
        "what a task adds to Ω is never below 0, where the authors cut off the sum over tasks at 0",
        {},
    ),
}


def varied(values: Mapping[str, Any], variation: str) -> dict[str, Any]:
    """A learner's settings with a detail done otherwise."""
    return _nested(values, VARIATIONS[variation].settings)


def is_usual(values: Mapping[str, Any], variation: str) -> bool:
    """Whether these settings, with the defaults of all others, have it so already."""
    usual, other = map(Settings.model_validate, (values, varied(values, variation)))
    return bool(VARIATIONS[variation].settings) and usual == other


def _nested(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with others in their place, group by group.

    >>> _nested({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    return {**values} | {
        name: _nested(values.get(name, {}), other) if isinstance(other, Mapping) else other
        for name, other in others.items()
    }
