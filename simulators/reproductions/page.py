"""A page that has a table of results and their pictures between two marks, so that it never differs
from them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from si_stream.errors import SettingsError
from simulators.reproductions.records import write_text


def marks(name: str) -> tuple[str, str]:
    """The lines before and behind it.

    >>> marks("silent-boundaries")[0]
    '<!-- silent-boundaries: made from the records -->'
    """
    return f"<!-- {name}: made from the records -->", f"<!-- {name}: end -->"


def shown(table: str, titles: Iterable[tuple[str, str]], pictures: Path, page: Path) -> str:
    """What stands between the marks: the table, and the pictures that there are.

    Args:
        titles: names of pictures and what they show.
        pictures: their directory.
    """
    folder = Path(os.path.relpath(pictures, page.parent)).as_posix()
    images = (
        f"\n![{title}]({folder}/{name}.png)\n"
        for name, title in titles
        if (pictures / f"{name}.png").exists()
    )
    return table + "".join(images)


def between_marks(text: str, name: str) -> str | None:
    """What stands between the marks in a page; None where they are not there."""
    before, behind = marks(name)
    _, found, rest = text.partition(before + "\n")
    inside, closed, _ = rest.partition(behind)
    return inside if found and closed else None


def require_marks(page: Path, name: str) -> str:
    """What stands between them.

    Raises:
        SettingsError: the page is not there, or has not got them.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the page {page} cannot be read: {error}") from error
    old = between_marks(text, name)
    if old is None:
        before, behind = marks(name)
        raise SettingsError(f"{page} has no lines {before!r} and {behind!r}: put them in")
    return old


def renew(page: Path, name: str, new: str) -> None:
    """Put something else between the marks.

    Raises:
        SettingsError: the page is not there, or has not got them.
    """
    old = require_marks(page, name)
    before, behind = marks(name)
    text = page.read_text(encoding="utf-8")
    write_text(page, text.replace(f"{before}\n{old}{behind}", f"{before}\n{new}{behind}"))
