"""`si-stream doctor`, as it is typed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from services.command import main
from services.doctor.finding import fail, ok, warn
from services.doctor.report import show

pytestmark = pytest.mark.usefixtures("bare_environment")


def typed(directory: Path, *arguments: str) -> list[str]:
    common = ("--directory", str(directory), "--preset", "split-digits", "--port", "0")
    return ["doctor", *common, "--set", "learner.metrics_port=0", *arguments]


def test_where_all_is_well_it_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(tmp_path)) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0].startswith("ok    settings: values: ")
    assert lines[-1].endswith(" 0 to mend")
    areas = {line[6:].partition(":")[0] for line in lines[:-1] if line[:2] != "  "}
    assert areas == {
        *("settings", "network", "directory", "disk", "broker", "clock", "ports", "cpu", "gpu"),
        *("kernel", "data"),
    }


def test_where_something_does_not_work_it_ends_with_1_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broker.sqlite").write_text("something else, and not short, for it is no database")
    assert main(typed(tmp_path)) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    [number] = [n for n, line in enumerate(lines) if line.startswith("fail  ")]
    assert lines[number].startswith("fail  broker: reach: embedded:")
    assert lines[number + 1].startswith("      → name another path")


def test_settings_that_cannot_be_read_are_its_only_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(tmp_path, "--set", "model.batch_sise=8", "--json")) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["format"], report["healthy"]) == ("si-stream-doctor/1", False)
    [finding] = report["findings"]
    assert "did you mean model.batch_size?" in finding["seen"]


def test_a_flag_that_there_is_not_is_refused_as_anywhere(tmp_path: Path) -> None:
    assert main(typed(tmp_path, "--jsn")) == 2


def test_a_script_gets_each_finding_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(tmp_path, "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    assert len(report["findings"]) >= 20
    assert all(set(one) == {"about", "state", "seen", "advice"} for one in report["findings"])


def test_on_a_terminal_it_is_a_table_and_no_text_in_it_is_markup() -> None:
    found = [ok("a: b", "well [bold]"), warn("c", "soon", "do this"), fail("d", "not", "do that")]
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system="standard")
    assert show(iter(found), console) == found
    text = file.getvalue()
    assert "well [bold]" in text
    assert "\x1b[32mok" in text
    assert "\x1b[1;31mfail" in text
    assert "1 ok, 1 to look at, 1 to mend" in text
