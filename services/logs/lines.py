"""The two forms of a line: text for a person, JSON for a collector.

Invariant: a message takes one line whatever is in it, for parts of it come from the stream; a line
of JSON is ASCII and strictly JSON, and a secret in its fields is masked.
"""

from __future__ import annotations

import json
import logging
import os
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from pydantic_core import to_jsonable_python

_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {10: "\\n"}

_CONTROLS_BUT_LINES = {code: text for code, text in _CONTROLS.items() if code != 10}


def has_colours(stream: TextIO) -> bool:
    """Whether a person sees them there; NO_COLOR and FORCE_COLOR (https://no-color.org) decide."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class TextLines(logging.Formatter):
    """``TIME LEVEL LOGGER [STEP, TASK, POSITION]: MESSAGE``, in this machine's time.

    Args:
        colours: of the level, for a terminal.
    """

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__("%(asctime)s %(shown_level)s %(name)s%(shown_place)s: %(message)s")
        self._colours = colours

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.translate(_CONTROLS)
        record.shown_level = self._level(record)
        record.shown_place = _shown(getattr(record, "place", {})).translate(_CONTROLS)
        return super().formatMessage(record)

    def formatException(self, exc_info: Any) -> str:
        """Over several lines, each indented, so that none passes for one of the log's own."""
        text = super().formatException(exc_info).translate(_CONTROLS_BUT_LINES)
        return textwrap.indent(text, "  ")

    def _level(self, record: logging.LogRecord) -> str:
        if not self._colours:
            return record.levelname
        return f"\x1b[{_COLOURS.get(record.levelno, '0')}m{record.levelname}\x1b[0m"


class JsonLines(logging.Formatter):
    """``time``, ``level``, ``logger``, ``message``, and what else is known: where learning is, the
    fields that the line was given as ``extra={"fields": …}``, an exception's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {**getattr(record, "place", {}), **getattr(record, "fields", {})}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json_line({**line, **{k: v for k, v in fields.items() if k not in line}})


def json_line(fields: Mapping[str, Any]) -> str:
    """One JSON object on one line; what is no finite number is null.

    >>> json_line({"loss": float("nan"), "behind": {0: (7, 3)}})
    '{"loss": null, "behind": {"0": [7, 3]}}'
    """
    plain = to_jsonable_python(fields, inf_nan_mode="null", bytes_mode="base64", fallback=str)
    return json.dumps(plain, allow_nan=False)


def rfc3339(seconds: float) -> str:
    """
    >>> rfc3339(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _shown(place: Mapping[str, Any]) -> str:
    if not place:
        return ""
    at = ", ".join(
        f"{partition}:{offset}" + (f".{row}" if row else "")
        for partition, (offset, row) in place["position"].items()
    )
    task = f", {place['task']}" if place["task"] else ""
    return f" [step {place['step']}{task}, at {at or 'the beginning'}]"
