"""The chooser that goes into a learner's snapshots, made anew when there is something new to know.

Invariant: it follows from the portraits and the holdout sets as they are at a boundary, or where a
portrait is drawn; between these it costs nothing, however often a snapshot is published. What
learning waits for is a note of these; the work is done by whoever asks for the chooser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from si_stream.boundaries.choice import TaskChooser, make_chooser
from si_stream.boundaries.portraits import Portrait, Portraits
from si_stream.boundaries.tasks import Tasks
from si_stream.evaluation.holdout import HoldoutSet
from si_stream.learning.options import ModelOptions
from si_stream.state import State


class Material:
    """What a chooser is made of, which does not change whatever is learned meanwhile.

    Args:
        portraits: of tasks, by their numbers; a mapping that stays as it is.
        held: held-out inputs, by the same numbers.
    """

    def __init__(
        self,
        model: ModelOptions,
        portraits: Mapping[int, Portrait],
        held: Mapping[int, Tensor],
    ) -> None:
        self._chooser: TaskChooser | None = None
        self._make: Callable[[], TaskChooser | None] | None = partial(
            make_chooser, model.input_shape, portraits, held
        )

    def chooser(self) -> TaskChooser | None:
        """Made when it is first asked for, by one thread at a time.

        None where all tasks have the same head, or none of them a portrait.
        """
        if self._make is not None:
            self._chooser = self._make()
            self._make = None
        return self._chooser


class Choosing:
    def __init__(self) -> None:
        self._known: dict[int, Portrait] = {}
        self._consolidations = -1
        self._material: Material | None = None

    def of(self, state: State) -> Material:
        """As it is now; the same one as long as there is nothing new to know."""
        known, consolidations = state.portraits.known, state.ledger.consolidations
        is_as_before = (
            consolidations == self._consolidations
            and known.keys() == self._known.keys()
            and all(known[task] is self._known[task] for task in known)
        )
        if self._material is None or not is_as_before:
            model, tasks = state.settings.model, state.ledger.tasks
            self._material = material_of(model, tasks, state.portraits, state.holdouts.sets)
            self._known, self._consolidations = dict(known), consolidations
        return self._material


def material_of(
    model: ModelOptions, tasks: Tasks, portraits: Portraits, holdouts: Mapping[str, HoldoutSet]
) -> Material:
    """As they are now. A portrait, once drawn, is never changed, nor is a row of a holdout set."""
    if model.heads == "shared":  # there is nothing to choose
        return Material(model, {}, {})
    held = {
        task.number: holdouts[task.name].inputs for task in tasks.known if task.name in holdouts
    }
    return Material(model, dict(portraits.known), held)
