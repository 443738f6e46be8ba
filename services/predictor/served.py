"""A snapshot ready to answer: its network, its tasks by name, and what is known of them.

Invariant: it has answered once for every task before anybody is given it, and it never changes.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from services.predictor.inputs import InputFormat
from si_stream.boundaries.choice import Chooser
from si_stream.checkpoints.snapshots import ServedTask, Snapshot
from si_stream.errors import CorruptCheckpoint, SettingsError, UnknownTask, WrongInput
from si_stream.learning.frozen import FrozenNetwork

NAMED_TASKS = 20
Way = Literal["portrait", "active"]
"""How the task is chosen where none is named."""
WAYS: tuple[Way, ...] = get_args(Way)


class Named(NamedTuple):
    """The answer of one task's head to B inputs, ``[B, C]``."""

    task: ServedTask
    probabilities_BC: npt.NDArray[np.float32]


class Chosen(NamedTuple):
    """Of B inputs, each its task, how sure that is, and what the task's head says of it: ``[C]``
    each, as heads with open labels have some more and some fewer."""

    tasks: list[ServedTask]
    task_probability_B: npt.NDArray[np.float32]
    probabilities: list[npt.NDArray[np.float32]]


class Served:
    """Args:
        own_module: the one that may be imported for the trunk of a model that has one of its own:
            what a snapshot names is run, so the snapshot must not choose it.

    Raises:
        CorruptCheckpoint: the weights are not those of its model, or not finite.
        SettingsError: the model's own trunk cannot be imported here, or may not be.
    """

    def __init__(self, snapshot: Snapshot, own_module: str | None = None) -> None:
        self.manifest = manifest = snapshot.manifest
        self.version = manifest.version
        self.model = manifest.model
        self.takes = InputFormat(manifest.model)
        self.takes_tensor = InputFormat(manifest.model, called="input")
        self.tasks = {task.name: task for task in manifest.tasks}
        self.task_of_query = {
            f"task={quote(task.name, safe='')}".encode(): task for task in manifest.tasks
        }
        """The usual way to name each in a URL, which then need not be parsed."""
        self.heading: dict[str, Any] = {
            "version": {"epoch": manifest.epoch, "step": manifest.step},
            "position": {
                str(partition): {"offset": offset, "row": row}
                for partition, (offset, row) in sorted(manifest.position.items())
            },
        }
        """Members of every answer."""
        network = self.model.network
        if network.kind == "module" and network.module != own_module:
            raise SettingsError(
                f"snapshot {self.version} names the module {network.module!r} as its trunk, and "
                f"model.network.module is {own_module!r} here; set it to that if you trust it"
            )
        try:
            self.network = FrozenNetwork(self.model, snapshot.weights)
            self._require_finite(snapshot)
            for task in manifest.tasks:
                self.network.probabilities(self.takes.zeros(), task.head)
            self.choosable = [manifest.tasks[place] for place in snapshot.portraits]
            """The tasks with a portrait, which can be chosen for an input."""
            self._chooser = _chooser(snapshot)
            if self._chooser is not None:
                self._chooser.choose(self.takes.zeros())
        except (ValueError, IndexError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptCheckpoint(
                f"snapshot {self.version} does not fit its own model: {reason}"
            ) from error

    def task(self, name: str | None, choose: Way | None = None) -> ServedTask | None:
        """The task of a name. Without one, the last task where all have the same head, else the
        active one where that is asked for, else None: each input has its own, see `choose`.

        Raises:
            UnknownTask: there is none of the name, or none can be chosen.
        """
        if name in self.tasks:
            return self.tasks[name]
        if name is not None:
            raise self._unknown(f"task {name!a:.200} is not known")
        if len({task.head for task in self.tasks.values()}) == 1:
            return list(self.tasks.values())[-1]
        if choose == "active":
            active = self.manifest.active_task
            if active not in self.tasks:
                raise self._unknown("no task is named, and none is active")
            return self.tasks[active]
        if self._chooser is None:
            raise self._unknown("no task is named")
        return None

    def choose(self, inputs: npt.NDArray[Any]) -> Chosen:
        """Each input's task, and its head's answer; to the bit, what a request that names the task
        would be answered for the inputs that it is chosen for.

        Raises:
            WrongInput: finite inputs so large that the network overflows.
        """
        assert self._chooser is not None
        place_B, probability_B = self._chooser.choose(inputs)
        if not np.isfinite(probability_B).all():
            raise _overflow()
        rows: dict[int, npt.NDArray[np.float32]] = {}
        for place in np.unique(place_B):
            own = np.flatnonzero(place_B == place)
            answered_BC = self.probabilities(inputs[own], self.choosable[place])
            rows.update(zip(own.tolist(), answered_BC, strict=True))
        tasks = [self.choosable[place] for place in place_B]
        in_order = [rows[number] for number in range(len(inputs))]
        return Chosen(tasks, probability_B.astype(np.float32), in_order)

    def probabilities(self, inputs: npt.NDArray[Any], task: ServedTask) -> npt.NDArray[np.float32]:
        """``[B, *input_shape]`` → ``[B, outputs]``, each row adding up to 1.

        Raises:
            WrongInput: finite inputs so large that the network overflows.
        """
        probabilities_BC = self.network.probabilities(inputs, task.head)
        if any(map(math.isnan, probabilities_BC[:, 0].tolist())):  # softmax spoils whole rows
            raise _overflow()
        return probabilities_BC

    def answer(self, inputs: npt.NDArray[Any], task: ServedTask | None) -> Named | Chosen:
        """Of the task's head, or where there is none of each input's own; raises as these do."""
        return Named(task, self.probabilities(inputs, task)) if task else self.choose(inputs)

    def _require_finite(self, snapshot: Snapshot) -> None:
        for name, weights in snapshot.weights.items():
            if not math.isfinite(weights.sum()):
                raise CorruptCheckpoint(
                    f"snapshot {self.version} holds {name} that is not finite: learning has "
                    "diverged; go back to an older checkpoint with a lower learning rate"
                )

    def _unknown(self, asked: str) -> UnknownTask:
        known = ", ".join(list(self.tasks)[:NAMED_TASKS]) or "none yet"
        if (more := len(self.tasks) - NAMED_TASKS) > 0:
            known += f" and {more} more (GET /tasks)"
        return UnknownTask(f"{asked}; the tasks known to snapshot {self.version}: {known}")


def _chooser(snapshot: Snapshot) -> Chooser | None:
    choice = snapshot.manifest.choice
    if choice is None or not snapshot.portraits:
        return None
    likenesses = list(snapshot.portraits.values())
    shape = snapshot.manifest.model.input_shape
    return Chooser(shape, likenesses, choice.temperature, choice.fitted_samples)


def _overflow() -> WrongInput:
    return WrongInput(
        "the inputs are so large that the network overflows float32; "
        "scale them as the model's training data were"
    )
