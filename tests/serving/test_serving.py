"""The serving test in small. `make serving-test` does more of it, with rollbacks too, and holds the
times to their limits, which no test on a busy machine can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.course import run
from tests.serving.verdict import figures

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_no_request_fails_and_no_predictor_goes_back_while_all_around_them_fails(
    tmp_path: Path,
) -> None:
    seen, until = run(
        tmp_path,
        f"embedded:{tmp_path / 'broker.sqlite'}",
        predictors=2,
        rounds=1,
        per_second=40,
        calm_seconds=0.5,
        rollback=False,
    )
    found = figures(seen, until)
    assert found["failures_otherwise"] == []
    assert found["went_back"] == []
    assert found["answered"] + found["failed_in_flight_at_a_killed_predictor"] == len(seen.answers)
    assert {*found["answered_by_predictor"]} == {"0", "1"}
    assert found["epochs_served"] == [1, 2]  # before and after the learner's death
    newest = max(one.version for one in seen.publications)
    for predictor in (0, 1):
        assert newest <= max(
            one.version for one in seen.answers if one.predictor == predictor and one.version
        )
