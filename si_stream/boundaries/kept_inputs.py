"""The last inputs of a task, kept to be looked at when there is an alarm.

Invariant: sample s of the task lies in slot s modulo the capacity, so nothing is moved or
allocated while samples come.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

KEPT_BYTES = 8 << 20
"""At most, however many samples that is."""


class KeptInputs:
    """Args:
        most: samples; fewer where inputs are large, and none of one that is larger than all room.

    Attributes:
        first: the number of the earliest that is kept.
        end: that of the next sample to come.

    Example:
        >>> kept = KeptInputs(most=3)
        >>> kept.add(np.array([[7], [8], [9], [10]]), first=20)
        >>> kept.latest().tolist(), kept.first
        ([[8], [9], [10]], 21)
        >>> kept.at(np.array([22])).tolist()
        [[9]]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots: npt.NDArray[Any] | None = None
        self.first = self.end = 0

    def __len__(self) -> int:
        return self.end - self.first

    @property
    def capacity(self) -> int:
        """How many are kept at most, once one has come; 0 before."""
        return 0 if self._slots is None else len(self._slots)

    def clear(self) -> None:
        self.first = self.end

    def add(self, inputs: npt.NDArray[Any], first: int) -> None:
        """The next, ``[n, *input_shape]``, of which the first is sample number ``first``."""
        if self._slots is None:
            fitting = min(self._most, KEPT_BYTES // inputs[:1].nbytes)
            self._slots = np.empty((fitting, *inputs.shape[1:]), inputs.dtype)
        capacity, begin = self.capacity, first if self.first == self.end else self.first
        self.end = first + len(inputs)
        self.first = max(begin, self.end - capacity)
        if not capacity:
            return
        new = inputs[-capacity:]
        slot = (self.end - len(new)) % capacity
        before = min(len(new), capacity - slot)  # the wrap
        self._slots[slot : slot + before] = new[:before]
        if before < len(new):
            self._slots[: len(new) - before] = new[before:]

    def at(self, samples: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """A copy of those, by their numbers ``[m]``, of which each is kept."""
        assert self._slots is not None
        return self._slots.take(samples % self.capacity, axis=0)

    def latest(self) -> npt.NDArray[Any]:
        """A copy of all that are kept, in order; there are some."""
        return self.at(np.arange(self.first, self.end))
