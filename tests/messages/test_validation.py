from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from si_stream.errors import Reason
from si_stream.messages.kinds import Samples, SampleSchema
from si_stream.messages.validation import rejected_rows

BYTES = SampleSchema(input_shape=(2, 2), dtype="uint8", outputs=3)
FLOATS = SampleSchema(input_shape=(2, 2), dtype="float32", outputs=3)


def found(samples: Samples, schema: SampleSchema) -> list[tuple[int, Reason, str]]:
    return [(row, error.reason, str(error)) for row, error in rejected_rows(samples, schema)]


def test_good_rows_are_not_reported() -> None:
    labels = np.array([0, 1, 2])
    assert found(Samples(np.full((3, 2, 2), 255, np.uint8), labels), BYTES) == []
    extreme = np.full((3, 2, 2), np.finfo(np.float32).max)
    assert found(Samples(extreme, labels), FLOATS) == []


@pytest.mark.parametrize("label", [-1, 3, 2**63 - 1, -(2**63)])
def test_a_label_out_of_range_is_reported_and_its_neighbours_are_not(label: int) -> None:
    samples = Samples(np.zeros((3, 2, 2), np.uint8), np.array([0, label, 2]))
    assert found(samples, BYTES) == [
        (1, Reason.LABEL_OUT_OF_RANGE, f"row 1: label {label} is not from 0 to 2")
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_reported_and_its_neighbours_are_not(value: float) -> None:
    inputs = np.zeros((3, 2, 2), np.float32)
    inputs[2, 1, 0] = value
    assert found(Samples(inputs, np.array([0, 1, 2])), FLOATS) == [
        (2, Reason.NOT_FINITE, f"row 2: element 2 of the input is {value}, not finite")
    ]


def test_a_row_with_both_faults_is_reported_once_for_its_label() -> None:
    inputs = np.zeros((4, 2, 2), np.float32)
    inputs[[0, 1]] = np.nan
    reported = found(Samples(inputs, np.array([0, 9, 9, 0])), FLOATS)
    assert [(row, reason) for row, reason, _ in reported] == [
        (0, Reason.NOT_FINITE),
        (1, Reason.LABEL_OUT_OF_RANGE),
        (2, Reason.LABEL_OUT_OF_RANGE),
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_that_may_not_be_written_are_read(dtype: Any) -> None:
    inputs, labels = np.zeros((2, 2, 2), dtype), np.array([0, 5])
    for array in (inputs, labels):
        array.flags.writeable = False
    schema = BYTES if dtype is np.uint8 else FLOATS
    assert [row for row, _ in rejected_rows(Samples(inputs, labels), schema)] == [1]
