"""docs/results.md: its tables are those of the JSON files, and it shows pictures that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from simulators.reproductions.page import between_marks
from simulators.reproductions.reproduction import Place, block
from simulators.reproductions.silent.reproduction import SilentBoundaries

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")


def test_its_table_and_its_pictures_are_those_of_the_json() -> None:
    reproduction = SilentBoundaries()
    place = Place(DOCS / "results", reproduction.name)
    summary = json.loads(place.summary.read_text(encoding="utf-8"))
    assert between_marks(PAGE, place.name) == block(
        reproduction, summary, place, DOCS / "results.md"
    )


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
