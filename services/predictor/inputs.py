"""Inputs: the rows of a request, from JSON or raw bytes, as the array that a model takes.

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

from si_stream.errors import EmptyInput, InputTooLarge, WrongInput
from si_stream.learning.options import ModelOptions

FLOAT32_MAX = float(np.finfo(np.float32).max)


class InputFormat:
    """What a model takes; all ways to read it raise EmptyInput, InputTooLarge and WrongInput.

    Args:
        called: what messages call the inputs.

    Example:
        >>> takes = InputFormat(ModelOptions(input_shape=(2,), outputs=2))
        >>> takes.from_json([[0, 255], [7, 9]], max_inputs=10)
        array([[  0, 255],
               [  7,   9]], dtype=uint8)
        >>> takes.from_rows(bytearray([0, 255]), max_inputs=10)
        array([[  0, 255]], dtype=uint8)
    """

    def __init__(self, model: ModelOptions, called: str = "inputs") -> None:
        self.called = called
        self.shape = model.input_shape
        self.dtype = np.dtype(model.dtype).newbyteorder("<")
        self.row_bytes = math.prod(model.input_shape) * self.dtype.itemsize

    def zeros(self) -> npt.NDArray[Any]:
        """One input, ``[1, *input_shape]``."""
        return np.zeros((1, *self.shape), self.dtype)

    def count(self, shape: object, max_inputs: int) -> int:
        """How many inputs a tensor of a shape holds."""
        expected = list(self.shape)
        if (
            not isinstance(shape, list)
            or not all(type(size) is int for size in shape)
            or shape[1:] != expected
        ):
            raise WrongInput(
                f"the shape of {self.called} is {reprlib.repr(shape)}; the model takes "
                f"{[-1, *expected]}, -1 being the number of inputs"
            )
        _check_count(shape[0], max_inputs)
        return int(shape[0])

    def from_rows(self, body: bytes | bytearray | memoryview, max_inputs: int) -> npt.NDArray[Any]:
        """Raw rows in C order, uint8 or little-endian float32: ``[B, *input_shape]``."""
        count, rest = divmod(len(body), self.row_bytes)
        if rest:
            raise WrongInput(
                f"the body has {len(body)} bytes, which is no multiple of {self.row_bytes}: one "
                f"input is {self.dtype.name} of shape {list(self.shape)}"
            )
        _check_count(count, max_inputs)
        inputs = np.frombuffer(body, self.dtype)
        if self.dtype == np.float32:
            self._check_finite(inputs)
        return inputs.reshape(count, *self.shape)

    def from_json(self, inputs: object, max_inputs: int) -> npt.NDArray[Any]:
        """Nested lists of numbers, of the model's shape for each input: ``[B, *input_shape]``."""
        if not isinstance(inputs, list):
            shape = list(self.shape)
            raise WrongInput(
                f"{self.called} must be a list of inputs of shape {shape}, not {kind(inputs)}"
            )
        _check_count(len(inputs), max_inputs)
        level: list[Any] = inputs
        for axis in range(len(self.shape)):
            self._check_lists(level, axis)
            level = list(chain.from_iterable(level))
        return self._numbers(level).reshape(len(inputs), *self.shape)

    def from_data(self, data: object, count: int) -> npt.NDArray[Any]:
        """So many inputs as nested lists, or all of their numbers in one flat list."""
        if isinstance(data, list) and data and type(data[0]) is list:
            inputs = self.from_json(data, max_inputs=len(data))
            if len(inputs) == count:
                return inputs
            raise WrongInput(f"{self.called} has {len(inputs)} inputs, but its shape says {count}")
        size = count * math.prod(self.shape)
        if not isinstance(data, list) or len(data) != size:
            given = f"{len(data)} items" if isinstance(data, list) else kind(data)
            raise WrongInput(
                f"the data of {self.called} must be a list of {size} numbers, or nested lists of "
                f"shape {[count, *self.shape]}, not {given}"
            )
        return self._numbers(data).reshape(count, *self.shape)

    def _numbers(self, level: list[Any]) -> npt.NDArray[Any]:
        return self._uint8(level) if self.dtype == np.uint8 else self._float32(level)

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

    def _uint8(self, level: list[Any]) -> npt.NDArray[np.uint8]:
        try:
            if set(map(type, level)) == {int}:  # not bool, which a bytearray would take too
                return np.frombuffer(bytearray(level), np.uint8)
        except ValueError:  # beyond 0 to 255
            pass
        place, item = self._first(level, lambda x: type(x) is not int or not 0 <= x <= 255)
        raise WrongInput(
            f"{place} is {_value(item)}; the model takes uint8: an integer from 0 to 255"
        )

    def _float32(self, level: list[Any]) -> npt.NDArray[np.float32]:
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
        return numbers

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
        return self.called + "".join(f"[{index}]" for index in (number, *indices))


def _check_count(count: int, max_inputs: int) -> None:
    if count < 1:
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
