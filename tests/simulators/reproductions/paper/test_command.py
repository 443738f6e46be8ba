"""The commands, as a person types them, on the bundled digits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from services.command import main
from simulators.reproductions.command import reproduce
from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import BENCHMARKS, METHODS, NONE, SI
from simulators.reproductions.paper.record import PaperRecord
from simulators.reproductions.paper.settings import decided_by
from simulators.reproductions.paper.trial import run_arm
from simulators.reproductions.records import Records
from tests.simulators.reproductions.paper.making import importance, record

pytestmark = pytest.mark.usefixtures("bare_environment")
NAME = "split-digits"
DATA = 3  # exit status
ARM = Arm(SI, 1.0, 2, 2)


def command(directory: Path, *more: str) -> list[str]:
    short = ["--epochs", "2", "--task-count", "2", "--device", "cpu"]
    return ["reproduce", NAME, *short, "--directory", str(directory), *more]


def records(directory: Path) -> dict[str, PaperRecord]:
    paths = sorted((directory / NAME / "runs").glob("*.json"))
    return {path.stem: PaperRecord.model_validate_json(path.read_bytes()) for path in paths}


def without_time(one: PaperRecord) -> PaperRecord:
    return one.model_copy(update={"seconds": 0.0})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results")
    assert main(command(directory, "--seeds", "2", "--processes", "2")) == 0
    return directory


def test_a_record_is_what_a_run_alone_leaves(done: Path) -> None:
    found = records(done)
    arms = [ARM, Arm(NONE, None, 2, 2)]
    names = [f"{arm.name(BENCHMARKS[NAME])}-seed-{seed}" for arm in arms for seed in (0, 1)]
    assert sorted(found) == sorted(names)
    alone = run_arm(BENCHMARKS[NAME], ARM, 1, device="cpu")
    assert without_time(found[names[1]]) == without_time(alone)


def test_summary_overview_and_picture_are_made_of_the_records(done: Path) -> None:
    summary = json.loads((done / f"{NAME}.json").read_text())
    assert list(summary) == [
        "synaptic-intelligence-c-1-2-epochs-2-tasks",
        "none-2-epochs-2-tasks",
    ]
    assert summary["none-2-epochs-2-tasks"]["command"] == (
        f"si-stream reproduce {NAME} --methods none --epochs 2 --task-count 2 --seeds 2"
    )
    overview = json.loads((done / "summary.json").read_text())
    assert list(overview) == [NAME]
    assert overview[NAME]["si"]["seeds"] == 2
    assert imread(done / NAME / "summary.png")[..., :3].std() > 0.01


def test_it_goes_on_from_what_is_recorded(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = records(done)
    assert main(command(done, "--seeds", "3", "--methods", "none")) == 0
    assert "2 of 3 runs are recorded" in capsys.readouterr().err
    after = records(done)
    assert set(after) - set(before) == {"none-2-epochs-2-tasks-seed-2"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_when_all_of_it_is_told_to_stop_it_goes_on_later_with_what_is_left(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [Arm(SI, strength, 40, 2) for strength in (1.0, 2.0)]
    named = [arm.name(BENCHMARKS[NAME]) for arm in arms]
    more = ["--epochs", "40", "--seeds", "1", "--strength", "1", "--strength", "2"]
    long = command(tmp_path, *more, "--methods", SI)
    with subprocess.Popen(
        [sys.executable, "-m", "services", *long],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert f"beginning of {SI}-40-epochs-2-tasks, seed 0" in process.stderr.readline()
        assert f"{named[0]}, seed 0" in process.stderr.readline()
        os.killpg(process.pid, number)
        rest = process.stderr.read()
        assert process.wait() == 128 + number
    assert "need not be again; those at hand go on where they were" in rest
    assert not (tmp_path / f"{NAME}.json").exists()
    assert list(records(tmp_path)) == [f"{named[0]}-seed-0"]
    kept = tmp_path / NAME / "unfinished" / f"{named[1]}-seed-0.safetensors"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    assert main(long) == DATA
    assert f"{kept} is damaged: delete it" in capsys.readouterr().err
    kept.write_bytes(whole)
    assert main(long) == 0
    alone = run_arm(BENCHMARKS[NAME], arms[1], 0, device="cpu")
    assert without_time(records(tmp_path)[f"{named[1]}-seed-0"]) == without_time(alone)
    assert not list(tmp_path.glob("*/unfinished/*"))


def test_a_page_that_is_no_good_is_refused_before_anything_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page")
    assert main(command(tmp_path, "--page", str(page))) == 2
    assert "page.md has no lines" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [page]


def test_with_a_grid_the_strength_is_chosen_before_the_test_set_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--grid", "--strength", "0.001", "--strength", "1", "--methods", SI, "--seeds", "1"]
    assert main(command(tmp_path, *grid)) == 0
    assert "synaptic-intelligence: strength " in capsys.readouterr().err
    found = records(tmp_path)
    chosen = [one for name, one in found.items() if "validation" not in name]
    tried = [one for name, one in found.items() if "validation" in name]
    assert (len(chosen), len(tried)) == (1, 2)
    assert all(not row.test for one in tried for row in one.rows)
    averages = {one.strength: sum(one.final.values()) for one in tried}
    assert averages[chosen[0].strength] == max(averages.values())
    overview = json.loads((tmp_path / "summary.json").read_text())
    assert overview[NAME]["si-chosen"]["strength"] == chosen[0].strength


def test_a_method_that_there_is_not_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(command(tmp_path, "--methods", "hope")) == 2
    assert "there is no method 'hope'; there are" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_names_every_method(name: str) -> None:
    told = CliRunner().invoke(reproduce, [name, "--help"], env={"COLUMNS": "2000"})
    assert told.exit_code == 0
    for method in METHODS:
        assert method in told.stdout


def test_importance_is_of_two_runs_of_permuted_mnist(tmp_path: Path) -> None:
    """Their records are made by hand: a run takes more than an hour."""
    benchmark = BENCHMARKS["permuted-mnist"]
    for arm in (Arm(SI, 0.1, 20, 10), Arm(NONE, None, 20, 10)):
        told: dict[str, Any] = {
            "scenario": arm.name(benchmark),
            "method": arm.method,
            "strength": arm.strength,
        }
        made = record(settings=decided_by(benchmark, arm, 0), importance=importance(0.5), **told)
        Records(tmp_path / benchmark.name / "runs", PaperRecord).write(made)
    assert main(["reproduce", "importance-correlation", "--directory", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "permuted-mnist.json").read_text())
    assert list(summary) == ["synaptic-intelligence-c-0.1", "none"]
    for arm in summary.values():
        assert arm["importance"]["hidden-2"]["between_tasks"] == 0.5
    assert imread(tmp_path / "permuted-mnist" / "importance.png").size
