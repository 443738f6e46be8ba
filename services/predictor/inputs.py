"""Inputs: the rows of a request, from JSON or raw bytes, as the tensor that a model takes.

Invariant: what comes out has the model's dtype and shape and is finite, and the same inputs come
out by either way; no number is rounded or wrapped to fit.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from si_stream.errors import EmptyInput, InputTooLarge, WrongInput
from si_stream.learning.options import ModelOptions

DTYPES = {"uint8": torch.uint8, "float32": torch.float32}
FLOAT32_MAX = float(np.finfo(np.float32).max)


class InputFormat:
    """What a model takes; both ways to read it raise EmptyInput, InputTooLarge and WrongInput.

    Example:
        >>> takes = InputFormat(ModelOptions(input_shape=(2,), outputs=2))
        >>> takes.from_json([[0, 255], [7, 9]], max_inputs=10)
        tensor([[  0, 255],
                [  7,   9]], dtype=torch.uint8)
        >>> takes.from_rows(bytearray([0, 255]), max_inputs=10)
        tensor([[  0, 255]], dtype=torch.uint8)
    """

    def __init__(self, model: ModelOptions) -> None:
        self.shape = model.input_shape
        self.dtype = DTYPES[model.dtype]
        self.row_bytes = math.prod(model.input_shape) * self.dtype.itemsize

    def zeros(self) -> Tensor:
        """One input, ``[1, *input_shape]``."""
        return torch.zeros(1, *self.shape, dtype=self.dtype)

    def from_rows(self, body: bytearray, max_inputs: int) -> Tensor:
        """Raw rows in C order, uint8 or little-endian float32: ``[B, *input_shape]``."""
        count, rest = divmod(len(body), self.row_bytes)
        if rest:
            raise WrongInput(
                f"the body has {len(body)} bytes, which is no multiple of {self.row_bytes}: one "
                f"input is {str(self.dtype).removeprefix('torch.')} of shape {list(self.shape)}"
            )
        _check_count(count, max_inputs)
        inputs = torch.frombuffer(body, dtype=self.dtype)
        if self.dtype is torch.float32:
            self._check_finite(inputs.numpy())
        return inputs.view(count, *self.shape)

    def from_json(self, inputs: object, max_inputs: int) -> Tensor:
        """Nested lists of numbers, of the model's shape for each input: ``[B, *input_shape]``."""
        if not isinstance(inputs, list):
            shape = list(self.shape)
            raise WrongInput(
                f"inputs must be a list of inputs of shape {shape}, not {kind(inputs)}"
            )
        _check_count(len(inputs), max_inputs)
        level: list[Any] = inputs
        for axis in range(len(self.shape)):
            self._check_lists(level, axis)
            level = list(chain.from_iterable(level))
        numbers = self._uint8(level) if self.dtype is torch.uint8 else self._float32(level)
        return numbers.view(len(inputs), *self.shape)

    def _check_lists(self, level: list[Any], axis: int) -> None:
        size = self.shape[axis]

        def wrong(item: Any) -> bool:
            return type(item) is not list or len(item) != size

        if any(map(wrong, level)):
            place, item = self._first(level, wrong, axis)
            given = f"{len(item)} items" if type(item) is list else kind(item)
            raise WrongInput(
                f"{place} must be a list of {size} items, not {given}: "
                f"the model takes inputs of shape {list(self.shape)}"
            )

    def _uint8(self, level: list[Any]) -> Tensor:
        try:
            if set(map(type, level)) == {int}:  # not bool, which a bytearray would take too
                return torch.frombuffer(bytearray(level), dtype=torch.uint8)
        except ValueError:  # beyond 0 to 255
            pass
        place, item = self._first(level, lambda x: type(x) is not int or not 0 <= x <= 255)
        raise WrongInput(
            f"{place} is {_value(item)}; the model takes uint8: an integer from 0 to 255"
        )

    def _float32(self, level: list[Any]) -> Tensor:
        if not set(map(type, level)) <= {int, float}:
            place, item = self._first(level, lambda x: type(x) not in (int, float))
            raise WrongInput(f"{place} is {_value(item)}; the model takes float32: a number")
        try:
            doubles = np.array(level, np.float64)
        except OverflowError:  # an integer of hundreds of digits
            doubles = np.array([math.inf if abs(x) > FLOAT32_MAX else x for x in level], np.float64)
        with np.errstate(over="ignore"):  # 1e300 becomes infinite, and is refused as such
            numbers = doubles.astype(np.float32)
        self._check_finite(numbers)
        return torch.from_numpy(numbers)

    def _check_finite(self, numbers: npt.NDArray[np.float32]) -> None:
        if not np.isfinite(numbers).all():
            first = int(np.argmin(np.isfinite(numbers)))
            given = "not a number" if np.isnan(numbers[first]) else "infinite"
            raise WrongInput(
                f"{self._place(first, len(self.shape))} is {given} as a float32; "
                "every number must be finite, at most 3.4e38 in size"
            )

    def _first(
        self, level: Sequence[Any], wrong: Callable[[Any], bool], axes: int | None = None
    ) -> tuple[str, Any]:
        """Where the first wrong item stands in a level that so many axes were flattened to."""
        number, item = next((n, item) for n, item in enumerate(level) if wrong(item))
        return self._place(number, len(self.shape) if axes is None else axes), item

    def _place(self, number: int, axes: int) -> str:
        indices: list[int] = []
        for size in reversed(self.shape[:axes]):
            number, index = divmod(number, size)
            indices.insert(0, index)
        return "inputs" + "".join(f"[{index}]" for index in (number, *indices))


def _check_count(count: int, max_inputs: int) -> None:
    if not count:
        raise EmptyInput("there are 0 inputs; send at least 1")
    if count > max_inputs:
        raise InputTooLarge(
            f"{count} inputs are too many for one request, the limit is {max_inputs} "
            "(predictor.max_inputs); send them in several requests"
        )


def kind(item: object) -> str:
    """What a JSON value is, for a person."""
    names = {list: "a list", dict: "an object", str: "text", bool: "true or false"}
    return "null" if item is None else names.get(type(item), "a number")


def _value(item: object) -> str:
    return kind(item) if isinstance(item, list | dict) else reprlib.repr(item)
