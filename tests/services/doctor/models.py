"""Directories of models as a doctor meets them, without a learner having been there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from services.doctor.finding import Finding
from si_stream.brokers.interface import Position
from si_stream.checkpoints.copies import Space
from si_stream.checkpoints.store import STATE, CheckpointStore
from si_stream.settings import Settings
from si_stream.state import State


def checkpointed(
    chosen: Settings,
    stream_id: str = "stream",
    position: Mapping[int, Position] | None = None,
    written_seconds: float | None = None,
) -> Path:
    """A checkpoint of a model that has learned nothing yet, in an epoch of its own."""
    state = State(chosen, stream_id)
    state.ledger.position = dict(position or {0: Position()})
    store = CheckpointStore(chosen.directory)
    at = time.time() if written_seconds is None else written_seconds
    path, _ = store.write(Space().copy(state), store.claim_epoch(), at)
    return path


def damage(checkpoint: Path) -> None:
    with (checkpoint / STATE).open("r+b") as file:
        file.truncate(100)


def named(findings: Iterable[Finding]) -> dict[str, Finding]:
    """By what they are about, each of which comes once."""
    listed = [*findings]
    by_name = {finding.about: finding for finding in listed}
    assert len(by_name) == len(listed)
    return by_name


def state_of(findings: Iterable[Finding], about: str) -> tuple[str, str]:
    """Of one finding, whether it is well, and its whole text."""
    finding = named(findings)[about]
    assert bool(finding.advice) == (finding.state != "ok")
    return finding.state, f"{finding.seen} → {finding.advice}"
