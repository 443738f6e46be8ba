"""Prequential tallies: part of every checkpoint, whatever the loss."""

from __future__ import annotations

import json
import math

import pytest

from si_stream.evaluation import prequential


@pytest.mark.parametrize("loss", [0.1 + 0.2, math.inf, math.nan])
def test_any_loss_outlives_a_checkpoint(loss: float) -> None:
    tested = prequential.Tested(samples=3, wrong=1, loss=loss)
    text = prequential.Prequential(tasks={"a": tested}).model_dump_json()
    json.loads(text, parse_constant=pytest.fail)  # which NaN and Infinity would be
    again = prequential.Prequential.model_validate_json(text).tasks["a"]
    assert again.loss == loss or (math.isnan(again.loss) and math.isnan(loss))
