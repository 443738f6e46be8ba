"""Lines of child processes on the output of the one that runs them.

Invariant: where that one logs as JSON, what it passes on is one JSON object a line too, also of a
child that has died before it could say anything in order.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from services.logs.lines import json_line, rfc3339
from si_stream.settings import LogOptions


def passing_on(options: LogOptions) -> Callable[[str, str], None]:
    """Something to call with a child's name and each of its lines."""
    return _tell_json if options.format == "json" else tell


def tell(name: str, line: str) -> None:
    """Pass on a line of a child's."""
    _write(f"{name:9} | {line}")


def announce(options: LogOptions, text: str, **fields: Any) -> None:
    """Say on stdout what a script waits for, in the form of the log."""
    if options.format == "json":
        print(json_line(_line("info", "si-stream", text) | fields), flush=True)
    else:
        print(f"si-stream: {text}", flush=True)


def _tell_json(name: str, line: str) -> None:
    _write(_with_process(name, line) or json_line(_line("warning", name, line) | {"process": name}))


def _with_process(name: str, line: str) -> str | None:
    """A line of JSON with the child's name in it; None of any other, such as a complaint about the
    settings, the runtime's last word, or what is nested too deep to be read or written."""
    try:
        told = json.loads(line)
        return json_line(told | {"process": name}) if isinstance(told, dict) else None
    except (ValueError, RecursionError):
        return None


def _write(line: str) -> None:
    """In one piece, since a thread for each child does."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _line(level: str, logger: str, message: str) -> dict[str, Any]:
    return {"time": rfc3339(time.time()), "level": level, "logger": logger, "message": message}
