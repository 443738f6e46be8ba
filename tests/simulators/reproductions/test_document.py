"""docs/results.md: its tables are those of the JSON files, and it shows pictures that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from simulators.reproductions.page import table_of
from simulators.reproductions.silent.reproduction import SilentBoundaries

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
SUMMARY = DOCS / "results" / "silent-boundaries.json"


@pytest.mark.skipif(not SUMMARY.exists(), reason="make reproduce-silent has not been run")
def test_its_table_is_made_of_the_json() -> None:
    summary = json.loads(SUMMARY.read_text(encoding="utf-8"))
    assert table_of(PAGE, "silent-boundaries") == SilentBoundaries().table(summary)


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
