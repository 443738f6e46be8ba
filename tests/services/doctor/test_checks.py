"""What holds for every check, whatever it meets."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from services.doctor.checks import CHECKS, Check, findings
from services.doctor.finding import Finding, ok
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.settings import Settings
from tests.services.doctor.models import checkpointed, damage
from tests.streams import STREAM, settings

LIMIT_SECONDS = 60.0


def bare(directory: Path) -> Settings:
    return Settings(directory=directory)


def nowhere(directory: Path) -> Settings:
    return settings(directory / "a" / "b")


def of_a_file(directory: Path) -> Settings:
    (directory / "file").touch()
    return settings(directory / "file" / "below")


def at_work(directory: Path) -> Settings:
    with EmbeddedBroker(directory / "broker.sqlite") as broker:
        broker.create_stream(STREAM)
        chosen = settings(directory, stream={"broker": f"embedded:{directory}/broker.sqlite"})
        checkpointed(chosen, broker.stream_id(STREAM))
    return chosen


def damaged(directory: Path) -> Settings:
    chosen = at_work(directory)
    damage(checkpointed(chosen))
    (directory / "broker.sqlite").write_bytes(bytes(100_000))
    (directory / "status.json").write_text("[")
    return chosen


def astray(directory: Path) -> Settings:
    odd: dict[str, Any] = {
        "model": {"network": {"kind": "module", "module": "nobody:knows"}},
        "stream": {"broker": "kafka://127.0.0.1:1"},
        "kafka": {"connect_timeout_seconds": 0.1},
        "compute": {"device": "cuda", "threads": 10**6, "kernel": "numba"},
        "predictor": {"host": "not a name"},
        "data": directory / "none",
    }
    return settings(directory, **odd)


def tree(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(directory)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.area))
@pytest.mark.parametrize("made", [bare, nowhere, of_a_file, at_work, damaged, astray])
def test_a_check_finds_what_is_well_and_what_is_not_and_changes_nothing(
    check: Check, made: Any, tmp_path: Path
) -> None:
    chosen = made(tmp_path)
    before, environment = tree(tmp_path), dict(os.environ)
    found = [*findings(check, chosen, LIMIT_SECONDS)]
    assert {name: at for name, at in tree(tmp_path).items() if "-shm" not in name} == before
    assert dict(os.environ) == environment
    for finding in found:
        assert finding.about.partition(":")[0] == check.area
        assert finding.seen
        assert "\n" not in finding.seen + finding.advice
        assert bool(finding.advice) == (finding.state != "ok")
        assert "could not be looked at" not in finding.seen
    assert len({finding.about for finding in found}) == len(found)


def test_each_area_has_one_check() -> None:
    assert len({check.area for check in CHECKS}) == len(CHECKS)


def test_a_check_that_raises_is_a_finding_after_those_before_it() -> None:
    def look(_: Settings) -> Iterator[Finding]:
        yield ok("broken: first", "well")
        raise ZeroDivisionError("of\nsomething")

    first, second = findings(Check("broken", look), settings(), LIMIT_SECONDS)
    assert first.state == "ok"
    assert second.state == "fail"
    assert second.seen == "it could not be looked at: ZeroDivisionError: of something"


def test_a_check_that_hangs_is_a_finding_after_those_before_it() -> None:
    goes_on = Event()

    def look(_: Settings) -> Iterator[Finding]:
        yield ok("hanging: first", "well")
        goes_on.wait()

    began = time.monotonic()
    first, second = findings(Check("hanging", look), settings(), limit_seconds=0.2)
    goes_on.set()
    assert first.state == "ok"
    assert second.state == "fail"
    assert second.seen == "no answer within 0.2 s"
    assert time.monotonic() - began < LIMIT_SECONDS
