from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulators.options import ReplayOptions


def test_the_defaults_are_valid() -> None:
    assert ReplayOptions.model_validate(ReplayOptions().model_dump()) == ReplayOptions()


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 2},
        {"epochs_per_task": 0},
        {"samples_per_message": 0},
        {"partitions": 0},
        {"rate_samples_per_second": 0},
        {"rate_samples_per_second": float("inf")},
        {"seed": -1},
        {"boundaries": "whispered"},
        {"holdout_samples_per_task": 0},
        {"boundary_jitter_samples": -1},
        {"drift_samples": -1},
        {"label_noise": 1.01},
        {"label_noise": float("nan")},
        {"codec": "avro"},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReplayOptions.model_validate(values)
