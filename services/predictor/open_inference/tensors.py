"""Tensors as the protocol writes them: numbers in JSON, or bytes behind it.

Invariant: both ways hold the same numbers, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

INPUT = "input"
PROBABILITIES, LABEL, CLASS = "probabilities", "label", "class"
TASK, TASK_PROBABILITY = "task", "task_probability"
OUTPUTS_OF_A_TASK = (PROBABILITIES, LABEL, CLASS, TASK)
OUTPUTS = (*OUTPUTS_OF_A_TASK, TASK_PROBABILITY)
DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
"""Of the inputs, by the model's dtype."""


class Tensor(NamedTuple):
    datatype: str
    shape: tuple[int, ...]
    values: npt.NDArray[Any] | list[str]

    @classmethod
    def of_floats(cls, values: npt.NDArray[np.float32]) -> Tensor:
        return cls("FP32", values.shape, values)

    @classmethod
    def of_integers(cls, values: npt.NDArray[np.int64]) -> Tensor:
        return cls("INT64", values.shape, values)

    @classmethod
    def of_texts(cls, values: Iterable[str]) -> Tensor:
        texts = list(values)
        return cls("BYTES", (len(texts),), texts)

    def data(self) -> npt.NDArray[Any] | list[str]:
        """For JSON, flat."""
        return self.values if isinstance(self.values, list) else self.values.ravel()

    def raw(self) -> bytes:
        if isinstance(self.values, list):
            parts: list[bytes] = []
            for text in map(str.encode, self.values):
                parts += (len(text).to_bytes(4, "little"), text)
            return b"".join(parts)
        return self.values.astype(self.values.dtype.newbyteorder("<"), copy=False).tobytes()
