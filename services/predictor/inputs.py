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

FLOAT32_MAX = float(np.finfo(np.float32).max)
DTYPES = {"uint8": torch.uint8, "float32": torch.float32}


def from_rows(body: bytearray, model: ModelOptions, max_inputs: int) -> Tensor:
    """Raw rows, C order, uint8 or little-endian float32: ``[B, *input_shape]``.

    Raises:
        EmptyInput, InputTooLarge, WrongInput
    """
    dtype = DTYPES[model.dtype]
    row_bytes = math.prod(model.input_shape) * dtype.itemsize
    count, rest = divmod(len(body), row_bytes)
    if rest:
        raise WrongInput(
            f"the body has {len(body)} bytes, which is no multiple of {row_bytes}: one input is "
            f"{model.dtype} of shape {list(model.input_shape)}"
        )
    _check_count(count, max_inputs)
    inputs = torch.frombuffer(body, dtype=dtype)
    if model.dtype == "float32":
        _check_finite(inputs.numpy(), model.input_shape)
    return inputs.view(count, *model.input_shape)


def from_json(inputs: object, model: ModelOptions, max_inputs: int) -> Tensor:
    """Nested lists of numbers, one of the model's shape for each input: ``[B, *input_shape]``.

    Raises:
        EmptyInput, InputTooLarge, WrongInput
    """
    shape = model.input_shape
    if not isinstance(inputs, list):
        raise WrongInput(
            f"inputs must be a list of inputs of shape {list(shape)}, not {kind_of(inputs)}"
        )
    _check_count(len(inputs), max_inputs)
    level: list[Any] = inputs
    for axis in range(len(shape)):
        _check_lists(level, axis, shape)
        level = list(chain.from_iterable(level))
    numbers = _uint8(level, shape) if model.dtype == "uint8" else _float32(level, shape)
    return numbers.view(len(inputs), *shape)


def _check_count(count: int, max_inputs: int) -> None:
    if not count:
        raise EmptyInput("there are 0 inputs; send at least 1")
    if count > max_inputs:
        raise InputTooLarge(
            f"{count} inputs are too many for one request, the limit is {max_inputs} "
            "(predictor.max_inputs); send them in several requests"
        )


def _check_lists(level: list[Any], axis: int, shape: tuple[int, ...]) -> None:
    size = shape[axis]

    def wrong(item: Any) -> bool:
        return type(item) is not list or len(item) != size

    if any(map(wrong, level)):
        place, item = _first(level, shape[:axis], wrong)
        given = f"{len(item)} items" if type(item) is list else kind_of(item)
        raise WrongInput(
            f"{place} must be a list of {size} items, not {given}: "
            f"the model takes inputs of shape {list(shape)}"
        )


def _uint8(level: list[Any], shape: tuple[int, ...]) -> Tensor:
    try:
        if set(map(type, level)) == {int}:  # not bool, which bytes would take too
            return torch.frombuffer(bytearray(level), dtype=torch.uint8)
    except ValueError:
        pass
    place, item = _first(level, shape, lambda x: type(x) is not int or not 0 <= x <= 255)
    raise WrongInput(f"{place} is {_value(item)}; the model takes uint8: an integer from 0 to 255")


def _float32(level: list[Any], shape: tuple[int, ...]) -> Tensor:
    if not set(map(type, level)) <= {int, float}:
        place, item = _first(level, shape, lambda x: type(x) not in (int, float))
        raise WrongInput(f"{place} is {_value(item)}; the model takes float32: a number")
    try:
        doubles = np.array(level, np.float64)
    except OverflowError:  # an integer of hundreds of digits
        doubles = np.array([math.inf if abs(x) > FLOAT32_MAX else x for x in level], np.float64)
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, and is refused as such
        numbers = doubles.astype(np.float32)
    _check_finite(numbers, shape)
    return torch.from_numpy(numbers)


def _check_finite(numbers: npt.NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if not np.isfinite(numbers).all():
        first = int(np.argmin(np.isfinite(numbers)))
        given = "not a number" if np.isnan(numbers[first]) else "infinite"
        raise WrongInput(
            f"{_place(first, shape)} is {given} as a float32; every number must be finite, "
            "at most 3.4e38 in size"
        )


def _first(
    level: Sequence[Any], shape: tuple[int, ...], wrong: Callable[[Any], bool]
) -> tuple[str, Any]:
    """Where the first wrong item of a flattened level stands, and the item."""
    number, item = next((n, item) for n, item in enumerate(level) if wrong(item))
    return _place(number, shape), item


def _place(number: int, shape: tuple[int, ...]) -> str:
    indices: list[int] = []
    for size in reversed(shape):
        number, index = divmod(number, size)
        indices.insert(0, index)
    return "inputs" + "".join(f"[{index}]" for index in (number, *indices))


def _value(item: object) -> str:
    return kind_of(item) if isinstance(item, list | dict) else reprlib.repr(item)


def kind_of(item: object) -> str:
    names = {list: "a list", dict: "an object", str: "text", bool: "true or false"}
    return "null" if item is None else names.get(type(item), "a number")
