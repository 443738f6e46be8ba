"""docs/simulator.md: its example, copied as a reader would, its scenarios and its options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import typer
from typer.testing import CliRunner

from si_stream.messages.kinds import Boundary, Samples
from simulators.command import simulate
from simulators.options import ScenarioName

DOCUMENT = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_its_example_tells_the_boundaries_of_the_stream_that_is_told() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    places, count = [], 0
    for message in names["told"]:
        if isinstance(message, Boundary):
            places.append(count)
        elif isinstance(message, Samples):
            count += len(message)
    assert names["true_boundaries"](names["scenario"], names["options"]) == places[:-1]
    assert sum(len(one) for one in names["silent"] if isinstance(one, Samples)) == count


def test_its_table_has_every_scenario() -> None:
    listed: list[str] = []
    sources: list[str] = []
    for name, data in re.findall(
        r"^\| `([a-z0-9]+-[a-z0-9]*)` \| (.*?) \|", DOCUMENT, re.MULTILINE
    ):
        sources = sources if data == "as above" else re.findall(r"`(\w+)`", data)
        listed += [name + source for source in sources] or [name]
    assert sorted(listed) == sorted(get_args(ScenarioName))


def test_the_options_that_it_names_are_there() -> None:
    app = typer.Typer()
    app.command()(simulate)
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    text = re.sub(r"^si-stream serve .*$", "", DOCUMENT, flags=re.MULTILINE)
    for option in set(re.findall(r"(?<=[` ])--[a-z-]+", text)) - {"--help"}:
        assert option in told.stdout
