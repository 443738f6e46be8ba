"""The log of a process: lines on stderr, where whoever runs it collects them.

Invariant: whatever speaks in a process that logs as JSON (a library, a warning, an exception that
nobody caught), each line is one JSON object.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from services.logs.lines import JsonLines, TextLines, has_colours
from si_stream.settings import LogOptions

Place = Callable[[], Mapping[str, Any]]
"""Where learning is, as fields of a line; nothing while it is nowhere yet."""

_logger = logging.getLogger("si-stream")


class _Placed(logging.Filter):
    """Gives each line the place in the stream at which it was said."""

    def __init__(self) -> None:
        super().__init__()
        self.place: Place = dict

    def filter(self, record: logging.LogRecord) -> bool:
        record.place = self.place()
        return True


_placed = _Placed()


def log_to_stderr(options: LogOptions) -> None:
    """Begin the log of this process; whatever logs, warns or fails in it is a line of it."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonLines() if options.format == "json" else TextLines(colours=has_colours(sys.stderr))
    )
    handler.addFilter(_placed)
    logging.basicConfig(level=options.level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    if options.format == "json":
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_of_thread


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """Meanwhile each line tells where learning is."""
    former, _placed.place = _placed.place, place
    try:
        yield
    finally:
        _placed.place = former


def complain(message: str, code: int) -> None:
    """Say on stderr, in one line, why a command ends with this exit code."""
    text = " ".join(message.split())
    if any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers):
        _logger.error("%s", text, extra={"fields": {"exit_code": code}})
    else:
        print(f"si-stream: {text}", file=sys.stderr)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    _logger.critical("ended by %s", kind.__name__, exc_info=(kind, error, traceback))


def _log_uncaught_of_thread(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else "?"
    error = failed.exc_value or failed.exc_type()
    exception = (failed.exc_type, error, failed.exc_traceback)
    _logger.critical("thread %s ended by %s", name, failed.exc_type.__name__, exc_info=exception)
