"""Shows settings to a person: as TOML that can be read back, with passwords masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from si_stream.settings.tree import Settings

# Up to the last @, so that a password with an @ or a / in it is masked whole.
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:@/]*):.*@")


def masked(text: str) -> str:
    """The text without the password of a URL in it.

    >>> masked("kafka://learner:s3cret@broker:9092")
    'kafka://learner:***@broker:9092'
    """
    return _PASSWORD_IN_URL.sub(r"\1:***@", text)


def as_toml(settings: Settings, places: Mapping[str, str]) -> str:
    """The effective settings as TOML; the place of each that is not a default as a comment."""
    lines = ["# The effective settings; a value without a comment is the default.", ""]
    return "\n".join([*lines, *_table(settings.model_dump(mode="json"), "", places)])


def _table(values: Mapping[str, Any], prefix: str, places: Mapping[str, str]) -> Iterator[str]:
    groups = {name: value for name, value in values.items() if isinstance(value, dict)}
    for name, value in values.items():
        if name not in groups:
            place = places.get(f"{prefix}{name}")
            setting = f"# {name} =" if value is None else f"{name} = {_literal(value)}"
            yield f"{setting}  # {place}" if place else setting
    for name, value in groups.items():
        yield from ("", f"[{prefix}{name}]")
        yield from _table(value, f"{prefix}{name}.", places)


def _literal(value: Any) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML's.
    return json.dumps(masked(value) if isinstance(value, str) else value, ensure_ascii=False)
