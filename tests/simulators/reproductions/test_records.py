from __future__ import annotations

from pathlib import Path

import pytest

from si_stream.errors import DataError
from simulators.reproductions.records import Records, same_settings
from simulators.reproductions.silent.catalogue import TRIALS
from simulators.reproductions.silent.trial import TrialRecord, decided_by, defaults
from tests.simulators.reproductions.silent.making import record

SETTINGS = decided_by(TRIALS["split-digits"], 0)


@pytest.fixture
def records(tmp_path: Path) -> Records[TrialRecord]:
    return Records(tmp_path / "runs", TrialRecord)


def test_a_record_is_found_again_as_it_was_written(records: Records[TrialRecord]) -> None:
    assert records.seeds("split-digits") == []
    records.write(record())
    assert records.find("split-digits", 0, SETTINGS, defaults()) == record()
    assert records.seeds("split-digits") == [0]
    assert [path.name for path in records.directory.iterdir()] == ["split-digits-seed-0.json"]


def test_it_knows_which_scenarios_have_records(records: Records[TrialRecord]) -> None:
    assert records.scenarios() == []
    for name in ("split-digits", "split-mnist", "split-digits"):
        records.write(record(len(records.scenarios()), scenario=name))
    (records.directory / "split-digits-seed-x.json").write_text("{}")
    assert records.scenarios() == ["split-digits", "split-mnist"]


def test_one_of_other_settings_is_not_taken_for_it(records: Records[TrialRecord]) -> None:
    records.write(record())
    assert records.find("split-digits", 1, SETTINGS, defaults()) is None
    other = decided_by(TRIALS["split-digits"].model_copy(update={"rewind": False}), 0)
    assert records.find("split-digits", 0, other, defaults()) is None


def test_another_device_is_no_other_setting() -> None:
    there = decided_by(TRIALS["split-digits"], 0, "cuda")
    assert same_settings(there, SETTINGS, defaults())


def test_a_setting_that_has_come_since_counts_as_its_default() -> None:
    usual = {"learner": {"a": 1, "new": "off"}}
    assert same_settings({"learner": {"a": 1}}, {"learner": {"a": 1, "new": "off"}}, usual)
    assert not same_settings({"learner": {"a": 1}}, {"learner": {"a": 1, "new": "on"}}, usual)
    assert not same_settings({"learner": {"a": 1, "gone": 2}}, {"learner": {"a": 1}}, usual)


def test_a_record_of_an_older_form_is_run_again(records: Records[TrialRecord]) -> None:
    path = records.write(record())
    path.write_text(path.read_text().replace('"again"', '"once"'))
    assert records.find("split-digits", 0, SETTINGS, defaults()) is None


def test_half_a_file_is_an_error_that_names_it(records: Records[TrialRecord]) -> None:
    path = records.write(record())
    path.write_text(path.read_text()[:100])
    with pytest.raises(DataError, match=r"split-digits-seed-0\.json is no JSON: delete it"):
        records.find("split-digits", 0, SETTINGS, defaults())


def test_the_longest_name_goes_before_the_number(records: Records[TrialRecord]) -> None:
    records.write(record(7))
    records.write(record(7, scenario="split-digits-seed-9"))
    assert records.seeds("split-digits") == [7]
