"""A snapshot ready to answer: its network, its tasks by name, and what is known of them.

Invariant: it has answered once for every task before anybody is given it, and it never changes.
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from torch import Tensor

from services.predictor.inputs import InputFormat
from si_stream.checkpoints.snapshots import ServedTask, Snapshot
from si_stream.errors import CorruptCheckpoint, UnknownTask, WrongInput
from si_stream.learning.frozen import FrozenNetwork

NAMED_TASKS = 20


class Served:
    """Raises:
    CorruptCheckpoint: the weights are not those of its model, or not finite.
    SettingsError: the model's own trunk cannot be imported here.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.manifest = manifest = snapshot.manifest
        self.version = manifest.version
        self.model = manifest.model
        self.takes = InputFormat(manifest.model)
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
        for name, weights in snapshot.weights.items():
            if not math.isfinite(weights.sum()):
                raise CorruptCheckpoint(
                    f"snapshot {self.version} holds {name} that is not finite: learning has "
                    "diverged; go back to an older checkpoint with a lower learning rate"
                )
        try:
            self.network = FrozenNetwork(self.model, snapshot.weights)
            for task in manifest.tasks:
                self.network.probabilities(self.takes.zeros(), task.head)
        except (ValueError, IndexError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptCheckpoint(
                f"snapshot {self.version} does not fit its own model: {reason}"
            ) from error

    def task(self, name: str | None) -> ServedTask:
        """The task of a name; without one, the last task where all have the same head.

        Raises:
            UnknownTask: there is none of the name, or there is a choice and no name.
        """
        if name in self.tasks:
            return self.tasks[name]
        if name is None and len({task.head for task in self.tasks.values()}) == 1:
            return list(self.tasks.values())[-1]
        known = ", ".join(list(self.tasks)[:NAMED_TASKS]) or "none yet"
        if (more := len(self.tasks) - NAMED_TASKS) > 0:
            known += f" and {more} more (GET /tasks)"
        asked = f"task {name!a:.200} is not known" if name is not None else "no task is named"
        raise UnknownTask(f"{asked}; the tasks known to snapshot {self.version}: {known}")

    def probabilities(self, inputs: Tensor, task: ServedTask) -> npt.NDArray[np.float32]:
        """``[B, *input_shape]`` → ``[B, outputs]``, each row adding up to 1.

        Raises:
            WrongInput: finite inputs so large that the network overflows.
        """
        probabilities_BC: npt.NDArray[np.float32]
        probabilities_BC = self.network.probabilities(inputs, task.head).numpy()
        if any(map(math.isnan, probabilities_BC[:, 0].tolist())):  # softmax spoils whole rows
            raise WrongInput(
                "the inputs are so large that the network overflows float32; "
                "scale them as the model's training data were"
            )
        return probabilities_BC
