"""The log of a process, in both forms: as a formatter writes it, and as real processes do."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.logs.lines import JsonLines, TextLines, json_line
from services.logs.relay import announce, passing_on
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import LogOptions, load_settings
from tests.streams import STREAM, enveloped, samples, settings

pytestmark = pytest.mark.usefixtures("bare_environment")

PLACE = {"epoch": 2, "step": 7, "samples": 51, "task": "b", "position": {0: (5, 3)}}
JSON = {"SI_STREAM_LOG__FORMAT": "json"}


def record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("a.b", logging.WARNING, __file__, 1, message, arguments, None)
    made.__dict__.update(more)
    return made


def parsed(lines: str) -> list[dict[str, Any]]:
    """Each line, which must be a JSON object, and strictly so."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    objects = [json.loads(line, parse_constant=refuse) for line in lines.splitlines()]
    assert all(isinstance(one, dict) for one in objects)
    return objects


def python(script: str, **environment: str) -> str:
    """What a process that runs the script writes to stderr."""
    command = [sys.executable, "-c", script]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    return finished.stderr


def test_a_line_of_json_has_time_level_logger_message_place_and_fields() -> None:
    line = record("%d of %s", 3, "x", place=PLACE, fields={"event": "Alarmed", "cut": 9})
    line.created = 1_700_000_000.25
    [told] = parsed(JsonLines().format(line))
    assert told == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "a.b",
        "message": "3 of x",
        **(PLACE | {"position": {"0": [5, 3]}}),
        "event": "Alarmed",
        "cut": 9,
    }


def test_what_an_event_says_goes_over_where_learning_is_and_not_over_the_line_itself() -> None:
    line = record("real", place=PLACE, fields={"step": 4, "message": "false", "level": "none"})
    [told] = parsed(JsonLines().format(line))
    assert (told["step"], told["message"], told["level"]) == (4, "real", "warning")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a\nb", "\ud800", b"\xff", Path()])
def test_no_value_makes_a_line_of_json_two_lines_or_none(value: object) -> None:
    line = record("%s", value, fields={"value": value, "of": {0: (value,)}})
    [told] = parsed(JsonLines().format(line))
    assert "value" in told


def test_a_secret_in_a_field_is_masked() -> None:
    chosen = load_settings(
        None,
        {
            "kafka.security_protocol": "SASL_SSL",
            "kafka.username": "learner",
            "kafka.password": "only-for-tests",
            "learner.token": "another-one",
        },
    )
    line = json_line({"settings": chosen})
    assert "SASL_SSL" in line
    assert "only-for-tests" not in line
    assert "another-one" not in line


def test_an_exception_is_one_field() -> None:
    try:
        raise ValueError("this\nand that")
    except ValueError:
        line = record("failed", exc_info=sys.exc_info())
    [told] = parsed(JsonLines().format(line))
    assert told["message"] == "failed"
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith("ValueError: this\nand that")


def test_a_line_of_text_says_where_learning_is() -> None:
    shown = TextLines().format(record("away", place=PLACE))
    assert shown.endswith(" WARNING a.b [step 7, b, at 0:5.3]: away")
    boundary = PLACE | {"task": None, "position": {0: (5, 0), 1: (6, 0)}}
    assert " [step 7, at 0:5, 1:6]: " in TextLines().format(record("away", place=boundary))
    assert TextLines().format(record("away")).endswith(" WARNING a.b: away")


def test_a_text_from_the_stream_forges_no_line_and_no_colour() -> None:
    hostile = "task\n2026-01-01 00:00:00,000 INFO x: \x1b[31mforged\r"
    shown = TextLines().format(record("%s", hostile, place=PLACE | {"task": hostile}))
    assert len(shown.splitlines()) == 1
    assert "\x1b" not in shown


def test_a_traceback_has_no_line_that_passes_for_one_of_the_logs_own() -> None:
    forged = "2026-01-01 00:00:00,000 INFO x: forged"
    try:
        raise ValueError(f"task\n{forged}\x1b[31m")
    except ValueError:
        shown = TextLines().format(record("failed", exc_info=sys.exc_info()))
    first, *others = shown.splitlines()
    assert first.endswith(" a.b: failed")
    assert f"  {forged}\\x1b[31m" in others
    assert all(line.startswith("  ") for line in others)


def test_colours_are_for_terminals() -> None:
    assert "\x1b[33mWARNING\x1b[0m a.b: " in TextLines(colours=True).format(record("away"))
    script = (
        "import sys\nfrom services.logs.lines import has_colours\n"
        "print(has_colours(sys.stderr), file=sys.stderr)"
    )
    assert python(script) == "False\n"
    assert python(script, FORCE_COLOR="1") == "True\n"
    assert python(script, FORCE_COLOR="1", NO_COLOR="1") == "False\n"


SPEAKING = """
import logging, threading, warnings
from services.logs import log_to_stderr
from si_stream.settings import LogOptions
log_to_stderr(LogOptions(format="json", level="info"))
logging.getLogger("kafka.client").critical("of a library")
logging.getLogger("uvicorn.error").info("of the server")
logging.getLogger("x").debug("not told")
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
logging.getLogger("kafka.client").info("%d is bad", "x")
class Holds:
    def __del__(self):
        raise OSError("cannot be closed")
Holds()
raise KeyError("nobody caught it")
"""


def test_libraries_warnings_and_what_nobody_caught_are_lines_like_any_other() -> None:
    told = parsed(python(SPEAKING))
    assert [one["message"] for one in told[:2]] == ["of a library", "of the server"]
    assert [one["logger"] for one in told[:3]] == ["kafka.client", "uvicorn.error", "py.warnings"]
    assert "UserWarning: a warning" in told[2]["message"]
    assert told[3]["message"] == "thread worker ended by ZeroDivisionError"
    assert (told[4]["logger"], told[4]["level"]) == ("kafka.client", "error")
    assert " cannot be logged: TypeError: " in told[4]["message"]
    assert told[4]["unformatted"] == "%d is bad"
    assert "Holds.__del__" in told[5]["message"]
    assert told[5]["exception"].endswith("OSError: cannot be closed")
    assert told[6]["exception"].endswith("KeyError: 'nobody caught it'")
    assert len(told) == 7


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_of_children_are_passed_on(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    options = LogOptions(format=form)
    for line in ('{"level": "info", "message": "one"}', "Fatal Python error", "[1]"):
        passing_on(options)("learner", line)
    announce(options, "ready", predictor="http://one")
    shown = capsys.readouterr()
    if form == "text":
        assert shown.err.splitlines()[1] == "learner   | Fatal Python error"
        assert shown.out == "si-stream: ready\n"
        return
    one, two, three = parsed(shown.err)
    assert one == {"level": "info", "message": "one", "process": "learner"}
    assert two["message"] == "Fatal Python error"
    assert three["message"] == "[1]"
    assert {two["level"], three["level"]} == {"warning"}
    [ready] = parsed(shown.out)
    assert (ready["message"], ready["predictor"]) == ("ready", "http://one")


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 300 + "1" + "}" * 300, "9" * 5_000]
)
def test_a_line_that_is_nested_too_deep_is_passed_on_as_it_is(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passing_on(LogOptions(format="json"))("learner", line)
    [told] = parsed(capsys.readouterr().err)
    assert told["process"] == "learner"
    assert (told["level"], told["message"]) == ("warning", line)


def learned(directory: Path, **log: str) -> Child:
    """A learner process that has learned two tasks, of which a few rows are bad."""
    chosen = settings(
        directory, log=log, learner={"exit_at_end": True}, stream={"retention": "all"}
    )
    with EmbeddedBroker(directory / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        messages: list[Message | Envelope] = [
            samples(20, task="a", bad=[3]),
            Boundary("1"),
            samples(8, 300, task="b"),
            End("2"),
        ]
        broker.append(STREAM, 0, enveloped(messages))
    child = Child("learner", settings=chosen)
    assert child.wait() == 0, list(child.last_lines)
    return child


def test_the_lines_of_a_learner_tell_where_they_belong_and_what_happened(tmp_path: Path) -> None:
    child = learned(tmp_path, format="json", level="debug")
    told = parsed("\n".join(child.last_lines))
    by_event = {one["event"]: one for one in told if "event" in one}
    assert {"TaskOpened", "Rejected", "Consolidated", "CheckpointWritten", "StreamEnded"} <= set(
        by_event
    )
    rejected = by_event["Rejected"]
    assert rejected["message"].startswith("rejected label_out_of_range at offset 0: ")
    assert (rejected["reason"], rejected["row"], rejected["level"]) == (
        "label_out_of_range",
        3,
        "warning",
    )
    assert rejected["epoch"] == 1
    assert told[-1]["message"] == "stopped at step 4, 27 samples; all of it is saved"
    assert (told[-1]["step"], told[-1]["samples"]) == (4, 27)
    assert told[-1]["position"] == {"0": [4, 0]}
    assert told[-1]["task"] is None
    assert child.address is not None
    assert child.address.endswith("/metrics")


def test_a_person_reads_sentences(tmp_path: Path) -> None:
    text = "\n".join(learned(tmp_path).last_lines)
    assert " INFO services.learner_host [step 0, a, at " in text
    assert "]: task 'b' is learned from sample 19 on, by head 1; 2 tasks are known" in text
    assert "CheckpointWritten" not in text
    assert "Consolidated(" not in text


@pytest.mark.parametrize("form", ["text", "json"])
def test_why_a_process_ends_is_in_the_form_of_its_log(form: str, tmp_path: Path) -> None:
    (tmp_path / "broker.sqlite").write_text("something else, and not short, for it is no database")
    child = Child("learner", settings=settings(tmp_path, log={"format": form}))
    assert child.wait() == 4
    [line] = child.last_lines
    if form == "text":
        assert line.startswith(f"si-stream: embedded:{tmp_path}/broker.sqlite is not a stream log")
        return
    [told] = parsed(line)
    assert told["message"].startswith(f"embedded:{tmp_path}/broker.sqlite is not a stream log")
    assert (told["level"], told["exit_code"]) == ("error", 4)
