"""The checks there are, each run with a limit of time, whatever it raises.

Invariant: a check never fails but by a finding, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

from services.doctor import (
    broker,
    certificates,
    clock,
    data,
    directory,
    disk,
    environment,
    gpu,
    kernel,
    network,
    ports,
    processor,
    source,
)
from services.doctor.finding import Finding, fail
from si_stream.settings import Settings

Look = Callable[[Settings], Iterable[Finding]]
LIMIT_SECONDS = 30.0


class Check(NamedTuple):
    area: str
    """What its findings are about."""
    look: Look


CHECKS = (
    Check("settings", environment.look),
    Check("network", network.look),
    Check("directory", directory.look),
    Check("disk", disk.look),
    Check("broker", broker.look),
    Check("clock", clock.look),
    Check("certificates", certificates.look),
    Check("ports", ports.look),
    Check("source", source.look),
    Check("cpu", processor.look),
    Check("gpu", gpu.look),
    Check("kernel", kernel.look),
    Check("data", data.look),
)


def findings(check: Check, settings: Settings, limit_seconds: float) -> Iterator[Finding]:
    """What a check finds; those that it had found before it failed or took too long are among
    them."""
    told: Queue[Finding | None] = Queue()

    def run() -> None:
        try:
            for finding in check.look(settings):
                told.put(finding)
        except Exception as error:  # noqa: BLE001 - it is a finding too
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            advice = "this should not be: report it, with the version (si-stream --version)"
            told.put(fail(check.area, f"it could not be looked at: {reason}", advice))
        told.put(None)

    Thread(target=run, name=f"doctor {check.area}", daemon=True).start()
    deadline = time.monotonic() + limit_seconds
    while True:
        try:
            finding = told.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            yield fail(
                check.area,
                f"no answer within {limit_seconds:g} s",
                "look at what it waits for: a disk or a network that hangs",
            )
            return
        if finding is None:
            return
        yield finding
