"""The command, as a person types it, on the bundled digits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from services.command import main
from simulators.reproductions.command import reproduce
from simulators.reproductions.records import Records
from simulators.reproductions.silent.catalogue import TRIALS
from simulators.reproductions.silent.trial import TrialRecord, run_trial
from tests.simulators.reproductions.silent.making import record

pytestmark = pytest.mark.usefixtures("bare_environment")
NAME = "silent-boundaries"


def command(directory: Path, *more: str) -> list[str]:
    chosen = ["--scenario", "split-digits", "--device", "cpu", "--directory", str(directory)]
    return ["reproduce", NAME, *chosen, *more]


def records(directory: Path) -> dict[str, TrialRecord]:
    paths = (directory / NAME / "runs").glob("*.json")
    return {path.name: TrialRecord.model_validate_json(path.read_bytes()) for path in paths}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results")
    assert main(command(directory, "--seeds", "2", "--processes", "2")) == 0
    return directory


def without_time(one: TrialRecord) -> TrialRecord:
    return one.model_copy(update={"seconds": 0.0})


def test_a_record_is_what_a_run_alone_leaves(done: Path) -> None:
    alone = run_trial(TRIALS["split-digits"], 0, device="cpu", keep_errors=True)
    found = records(done)
    assert sorted(found) == ["split-digits-seed-0.json", "split-digits-seed-1.json"]
    assert without_time(found["split-digits-seed-0.json"]) == without_time(alone)
    assert found["split-digits-seed-1.json"].errors is None


def test_told_and_silent_are_equal_to_the_bit_where_the_cut_is_right(done: Path) -> None:
    runs = [one for one in records(done).values() if one.detected]
    right = [one for one in runs if [cut for cut, _ in one.detected] == one.true_boundaries]
    assert right
    for one in right:
        assert all(accuracy.told == accuracy.silent for accuracy in one.accuracy.values())


def test_the_summary_and_the_pictures_are_made_of_all_records(done: Path) -> None:
    summary = json.loads((done / f"{NAME}.json").read_text())
    assert list(summary) == ["split-digits"]
    found = summary["split-digits"]
    assert (found["seeds"], found["boundaries"], found["recall"]) == (2, 4, 1.0)
    told = "si-stream reproduce silent-boundaries --scenario split-digits --seeds 2"
    assert found["command"] == told
    assert set(found["versions"]) > {"python", "torch", "river", "numpy"}
    assert found["kernel"]
    assert found["cpu"]
    for name in ("split-digits", "summary"):
        path = done / NAME / f"{name}.png"
        assert path.stat().st_size < 150_000
        assert imread(path)[..., :3].std() > 0.01


def test_what_is_recorded_is_not_run_again(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in done.rglob("*.*")}
    assert main(command(done, "--seeds", "2")) == 0
    assert "2 of 2 runs are recorded" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in done.rglob("*.*")}
    summary = done / f"{NAME}.json"
    assert {path: after[path] for path in after if path != summary} == {
        path: before[path] for path in before if path != summary
    }


def test_a_record_of_other_settings_is_run_again(done: Path, tmp_path: Path) -> None:
    runs = Records(tmp_path / NAME / "runs", TrialRecord)
    other = record().settings | {"rewind": False}
    runs.write(record(settings=other))
    assert main(command(tmp_path, "--seeds", "1")) == 0
    (name,) = records(tmp_path)
    assert without_time(records(tmp_path)[name]) == without_time(records(done)[name])


def test_ctrl_c_stops_it_with_a_line_and_it_goes_on_from_there(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "services", *command(tmp_path, "--seeds", "2")]
    with subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert "seed 0: 2 of 2 boundaries found" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to all of them
        rest = process.stderr.read()
        assert process.wait() == 128 + signal.SIGINT
    assert "stopped; the runs that are done are in" in rest
    assert "Traceback" not in rest
    there = records(tmp_path)
    assert "split-digits-seed-0.json" in there
    assert "split-digits-seed-1.json" not in there
    assert not (tmp_path / f"{NAME}.json").exists()
    assert main(command(tmp_path, "--seeds", "2")) == 0
    assert len(records(tmp_path)) == 2
    for name, one in there.items():
        assert records(tmp_path)[name] == one


def test_a_scenario_that_there_is_not_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["reproduce", NAME, "--scenario", "split-letters", "--directory", str(tmp_path)]
    assert main(arguments) == 2
    assert "there is no scenario 'split-letters'; there are split-mnist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_scenario() -> None:
    told = CliRunner().invoke(reproduce, [NAME, "--help"], env={"COLUMNS": "2000"})
    assert told.exit_code == 0
    for name in TRIALS:
        assert name in told.stdout
