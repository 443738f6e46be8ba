"""A page that has a table of results between two marks, so that it never differs from them."""

from __future__ import annotations

from pathlib import Path

from si_stream.errors import SettingsError


def marks(name: str) -> tuple[str, str]:
    """The lines before and behind the table.

    >>> marks("silent-boundaries")[0]
    '<!-- silent-boundaries: made from the records -->'
    """
    return f"<!-- {name}: made from the records -->", f"<!-- {name}: end -->"


def table_of(text: str, name: str) -> str | None:
    """The table that stands in a page; None where the marks are not there."""
    before, behind = marks(name)
    _, found, rest = text.partition(before + "\n")
    table, closed, _ = rest.partition(behind)
    return table if found and closed else None


def renew(page: Path, name: str, table: str) -> None:
    """Put the table between the marks.

    Raises:
        SettingsError: the page has not got them.
    """
    text = page.read_text(encoding="utf-8")
    before, behind = marks(name)
    old = table_of(text, name)
    if old is None:
        raise SettingsError(f"{page} has no lines {before!r} and {behind!r}: put them in")
    page.write_text(
        text.replace(f"{before}\n{old}{behind}", f"{before}\n{table}{behind}"), encoding="utf-8"
    )
