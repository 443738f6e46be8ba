"""The chooser that goes into a learner's snapshots, made anew when there is something new to know.

Invariant: it follows from the portraits and the holdout sets as they are at a boundary, or where a
portrait is drawn; between these it costs nothing, however often a snapshot is published.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from si_stream.boundaries.choice import TaskChooser, make_chooser
from si_stream.boundaries.portraits import Portrait, Portraits
from si_stream.boundaries.tasks import Tasks
from si_stream.evaluation.holdout import HoldoutSet
from si_stream.learning.options import ModelOptions
from si_stream.state import State


class Choosing:
    def __init__(self) -> None:
        self._known: dict[int, Portrait] = {}
        self._consolidations = -1
        self._chooser: TaskChooser | None = None

    def of(self, state: State) -> TaskChooser | None:
        known, consolidations = state.portraits.known, state.ledger.consolidations
        is_as_before = (
            consolidations == self._consolidations
            and known.keys() == self._known.keys()
            and all(known[task] is self._known[task] for task in known)
        )
        if not is_as_before:
            model, tasks = state.settings.model, state.ledger.tasks
            self._chooser = chooser_of(model, tasks, state.portraits, state.holdouts.sets)
            self._known, self._consolidations = dict(known), consolidations
        return self._chooser


def chooser_of(
    model: ModelOptions, tasks: Tasks, portraits: Portraits, holdouts: Mapping[str, HoldoutSet]
) -> TaskChooser | None:
    """None where all tasks have the same head, or none of them a portrait."""
    if model.heads == "shared":
        return None
    held: dict[int, Tensor] = {
        task.number: holdouts[task.name].inputs for task in tasks.known if task.name in holdouts
    }
    return make_chooser(model.input_shape, portraits.known, held)
