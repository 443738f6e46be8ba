"""The measurement of chosen heads, on the bundled digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from simulators.reproductions.head_choice import COMMAND, RUNS, calibration_error, measure

DOCS = Path(__file__).parents[3] / "docs"
RESULTS = DOCS / "results" / "head-choice.json"


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return measure("split-digits", seed=1)


def test_heads_chosen_by_portrait_answer_nearly_as_well_as_those_told(
    measured: dict[str, Any],
) -> None:
    accuracy, heads = measured["accuracy"], measured["task_accuracy"]
    assert accuracy["told"] > 0.95
    assert accuracy["told"] - 0.06 < accuracy["portrait"] <= accuracy["told"]
    assert accuracy["confidence"] < 0.8
    assert accuracy["active"] <= heads["active"] == pytest.approx(0.2, abs=0.01)
    assert heads["told"] == 1
    assert heads["portrait"] > 0.95


def test_how_sure_the_choice_is_is_how_right_it_is(measured: dict[str, Any]) -> None:
    assert measured["fitted_samples"] > 100
    assert measured["task_calibration_error"]["temperature fitted"] < 0.05


def test_it_is_plain_json(measured: dict[str, Any]) -> None:
    assert json.loads(json.dumps(measured)) == measured


def test_calibration_error_is_the_mean_distance_of_shares_from_probabilities() -> None:
    sure = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 1.0, 1.0])
    right = torch.tensor([1, 1, 1, 0, 1, 0, 1, 0]).bool()
    assert calibration_error(sure, right) == pytest.approx((0.6 + 0 + 1) / 8, abs=1e-4)
    assert calibration_error(torch.ones(4), torch.ones(4).bool()) == 0


def test_the_results_that_are_kept_are_of_all_runs() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    assert results["command"] == COMMAND
    assert [(run["scenario"], run["seed"]) for run in results["runs"]] == [*RUNS]


def test_the_page_has_the_figures_of_the_results() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    page = (DOCS / "predictions.md").read_text("utf-8")
    names = dict.fromkeys(run["scenario"] for run in results["runs"])
    for name in names:
        assert row([run for run in results["runs"] if run["scenario"] == name]) in page


def row(runs: list[dict[str, Any]]) -> str:
    """Of a scenario in the page's table, the mean over its seeds."""

    def mean(group: str, name: str, digits: int) -> str:
        return f"{sum(run[group][name] for run in runs) / len(runs):.{digits}f}"

    ways = ("told", "active", "confidence", "portrait")
    cells = [f"`{runs[0]['scenario']}`" + (f", {len(runs)} seeds" if len(runs) > 1 else "")]
    cells += [str(runs[0]["tasks"]), *(mean("accuracy", way, 3) for way in ways)]
    cells += [mean("task_accuracy", "portrait", 3)]
    cells += [mean("task_calibration_error", f"temperature {t}", 3) for t in ("1", "fitted")]
    return f"| {' | '.join(cells)} |"
