from __future__ import annotations

from pathlib import Path

import pytest

from si_stream.errors import SettingsError
from simulators.reproductions.page import between_marks, marks, renew, shown


def test_the_table_between_the_marks_is_renewed_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    before, behind = marks("mine")
    page.write_text(f"# Page\n{before}\n| old |\n{behind}\nend\n")
    renew(page, "mine", "| new |\n| 1 |\n")
    assert page.read_text() == f"# Page\n{before}\n| new |\n| 1 |\n{behind}\nend\n"
    assert between_marks(page.read_text(), "mine") == "| new |\n| 1 |\n"


def test_a_page_without_the_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    with pytest.raises(SettingsError, match="has no lines"):
        renew(page, "mine", "")
    assert between_marks("# Page\n", "mine") is None


def test_a_page_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"the page .*page\.md cannot be read"):
        renew(tmp_path / "page.md", "mine", "")


def test_it_shows_the_pictures_that_there_are(tmp_path: Path) -> None:
    pictures = tmp_path / "results" / "mine"
    pictures.mkdir(parents=True)
    (pictures / "b.png").touch()
    told = shown("| 1 |\n", [("a", "one"), ("b", "two")], pictures, tmp_path / "page.md")
    assert told == "| 1 |\n\n![two](results/mine/b.png)\n"
