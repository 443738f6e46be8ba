"""The log of a process: lines on stderr, where whoever runs it collects them.

Invariant: whatever speaks in a process that logs as JSON (a library, a warning, an exception that
nobody caught), each line is one JSON object.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from services.logs.lines import JsonLines, TextLines, has_colours, json_line, rfc3339
from si_stream.settings import LogOptions

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

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


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Says of a call that cannot be made a line, such as `"%d", "x"`, just that, as a line."""

    def handleError(self, record: logging.LogRecord) -> None:
        kind, error, _ = sys.exc_info()
        with suppress(Exception):  # where not even that works, nothing is left to say it on
            failure = f"{kind.__name__ if kind else 'Error'}: {error}"
            fields = {
                "time": rfc3339(record.created),
                "level": "error",
                "logger": record.name,
                "message": f"a line of {record.pathname}:{record.lineno} cannot be logged: "
                + failure,
                "unformatted": str(record.msg),
            }
            self.stream.write(json_line(fields) + self.terminator)
            self.flush()


def log_to_stderr(options: LogOptions) -> None:
    """Begin the log of this process; whatever logs, warns or fails in it is a line of it."""
    handler: logging.StreamHandler[TextIO]
    if options.format == "json":
        handler = _JsonHandler()
        handler.setFormatter(JsonLines())
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(TextLines(colours=has_colours(sys.stderr)))
    handler.addFilter(_placed)
    logging.basicConfig(level=options.level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    if options.format == "json":
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_of_thread
        sys.unraisablehook = _log_unraisable


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


def _log_unraisable(failed: UnraisableHookArgs) -> None:
    """Of what has no caller to be raised to, such as `__del__`."""
    error = failed.exc_value or failed.exc_type()
    exception = (failed.exc_type, error, failed.exc_traceback)
    where = failed.err_msg or "ignored an exception in"
    _logger.error("%s %r", where, failed.object, exc_info=exception)
