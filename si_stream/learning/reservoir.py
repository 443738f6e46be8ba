"""A reservoir: an even draw of a task's inputs, for what is measured when the data is gone.

Invariant: which inputs are held follows from the seed and from how many were seen before, in the
task and in all, so a reservoir that goes on from its state draws as one that never stopped.
"""

from __future__ import annotations

import torch
from torch import Tensor

from si_stream.learning.networks import RESERVOIR, generator
from si_stream.learning.options import ModelOptions


class Reservoir:
    """Each input of a task is held with the same probability (Vitter 1985, Algorithm R).

    Args:
        size: the most inputs that it holds; a task of fewer is held whole.
        model: whose inputs they are; its seed is that of the draw.

    Example:
        >>> reservoir = Reservoir(2, ModelOptions(input_shape=(1,)), torch.device("cpu"))
        >>> for _ in range(10):
        ...     reservoir.see(torch.ones(3, 1, dtype=torch.uint8))
        >>> reservoir.held.tolist()
        [[1], [1]]
        >>> reservoir.clear()
        >>> reservoir.held.tolist()
        []
    """

    def __init__(self, size: int, model: ModelOptions, device: torch.device) -> None:
        self.size = size
        self.seed = model.seed
        dtype = torch.uint8 if model.dtype == "uint8" else torch.get_default_dtype()
        self.inputs = torch.zeros(size, *model.input_shape, dtype=dtype, device=device)
        self.of_task = torch.zeros((), dtype=torch.int64)
        self.of_life = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def see(self, inputs: Tensor) -> None:
        """Inputs ``[B, *input_shape]`` that follow on those before."""
        before, count = int(self.of_task), len(inputs)
        source = generator(self.seed, RESERVOIR, int(self.of_life))
        numbers = torch.arange(before + 1, before + count + 1)  # of each, in its task
        drawn = torch.rand(count, generator=source, dtype=torch.float64)
        places = torch.where(numbers <= self.size, numbers - 1, (drawn * numbers).long())
        rows = {place: row for row, place in enumerate(places.tolist()) if place < self.size}
        if rows:
            chosen = inputs[torch.tensor([*rows.values()], device=inputs.device)]
            self.inputs[torch.tensor([*rows], device=self.inputs.device)] = chosen.to(self.inputs)
        self.of_task += count
        self.of_life += count

    @property
    def held(self) -> Tensor:
        return self.inputs[: int(self.of_task)]

    def clear(self) -> None:
        """The task has ended: nothing of it stays."""
        self.inputs.zero_()
        self.of_task.zero_()

    def state(self) -> dict[str, Tensor]:
        """The live tensors: to copy into them is to take over a state."""
        return {
            "reservoir.inputs": self.inputs,
            "reservoir.of_task": self.of_task,
            "reservoir.of_life": self.of_life,
        }
