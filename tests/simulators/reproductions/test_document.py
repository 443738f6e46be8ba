"""docs/results.md: its tables are those of the JSON files, and it shows pictures that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from simulators.reproductions.page import between_marks
from simulators.reproductions.paper.reproduction import PaperBenchmark
from simulators.reproductions.reproduction import Place, Reproduction
from simulators.reproductions.silent.reproduction import SilentBoundaries
from simulators.reproductions.summaries import block, recorded, summary_of

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
SHOWN: list[Reproduction[Any]] = [
    SilentBoundaries(),
    PaperBenchmark("split-mnist", ()),
    PaperBenchmark("permuted-mnist", ()),
    PaperBenchmark("split-cifar", ()),
]


@pytest.mark.parametrize("reproduction", SHOWN, ids=lambda one: one.name)
def test_its_table_and_its_pictures_are_those_of_the_json(reproduction: Reproduction[Any]) -> None:
    place = Place(DOCS / "results", reproduction.name)
    expected = ""  # where it has not been run
    if place.summary.exists():
        summary = json.loads(place.summary.read_text(encoding="utf-8"))
        expected = block(reproduction, summary, place, DOCS / "results.md")
    assert between_marks(PAGE, place.name) == expected


@pytest.mark.parametrize("reproduction", SHOWN, ids=lambda one: one.name)
def test_the_json_is_that_of_the_records(reproduction: Reproduction[Any]) -> None:
    place = Place(DOCS / "results", reproduction.name)
    there = json.loads(place.summary.read_text(encoding="utf-8")) if place.summary.exists() else {}
    assert summary_of(reproduction, recorded(reproduction, place)) == there


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
