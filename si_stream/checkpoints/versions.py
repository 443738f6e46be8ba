"""Files that a newer version has written: told from damaged ones, and what they have that is new.

Invariant: nothing is guessed. A member that is not known here may change what all the others mean,
so where it may, the file is refused and its reader says which version is needed.
"""

from __future__ import annotations

from importlib.metadata import version

from pydantic import ValidationError

NAMED = 3


def news_in(error: ValidationError, known: str) -> str | None:
    """What a manifest has that this version does not know; None where it is merely wrong.

    Args:
        known: the format that is read here, such as si-stream-checkpoint/1.
    """
    family, _, _ = known.partition("/")
    unknown = []
    for one in error.errors(include_url=False):
        written = one["input"]
        if one["loc"] == ("format",) and isinstance(written, str) and written != known:
            return f"format {written:.60}" if written.startswith(f"{family}/") else None
        if one["type"] == "extra_forbidden":
            unknown.append(".".join(map(str, one["loc"])))
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    return ", ".join(unknown[:NAMED]) + more if unknown else None


def newer(source: object, news: str, known: str) -> str:
    return (
        f"{source} was written by a newer version: it has {news}, and this one, si-stream "
        f"{version('si-stream')}, reads {known} without"
    )
