"""Batches that kill: five deaths in one and the same, with nothing learned between them."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
import torch

from services import in_flight
from services.in_flight import DEATHS, InFlight
from si_stream.batches import Batch
from si_stream.boundaries.tasks import Task
from si_stream.brokers.interface import Position
from si_stream.merging import Cursor

ONE, OTHER = (
    Batch(
        Task(name="a", number=0, head=0),
        torch.zeros(1),
        torch.zeros(1),
        Cursor({0: Position(offset), 1: Position(3, 5)}, 1),
    )
    for offset in (7, 8)
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "FIRST_PAUSE_SECONDS", 0.0)


def a_life(directory: Path, *learned: Batch, dies_in: Batch | None = None) -> int | None:
    """A process that learns these batches and then dies; what it found in quarantine."""
    flights = InFlight(directory, Event())
    for batch in learned:
        with flights.of(batch):
            pass
    if dies_in is not None:
        flights.of(dies_in).__enter__()
    found = flights.quarantined
    flights.close()
    return found


def test_a_batch_that_killed_five_times_is_in_quarantine(tmp_path: Path) -> None:
    for _ in range(DEATHS):
        assert a_life(tmp_path, OTHER, dies_in=ONE) is None
    assert a_life(tmp_path) == ONE.place
    assert a_life(tmp_path, dies_in=OTHER) is None  # the state holds it from then on


def test_one_that_was_learned_at_last_is_not(tmp_path: Path) -> None:
    for _ in range(3):
        for _ in range(DEATHS - 1):
            a_life(tmp_path, dies_in=ONE)
        assert a_life(tmp_path, ONE) is None


def test_a_death_elsewhere_acquits_it(tmp_path: Path) -> None:
    for _ in range(3):
        for _ in range(DEATHS - 1):
            a_life(tmp_path, dies_in=ONE)
        assert a_life(tmp_path) is None


def test_deaths_in_several_batches_blame_none(tmp_path: Path) -> None:
    for _ in range(2 * DEATHS):
        assert a_life(tmp_path, dies_in=ONE) is None
        assert a_life(tmp_path, dies_in=OTHER) is None


def test_a_process_killed_in_the_pause_before_a_suspect_acquits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(DEATHS - 1):
        a_life(tmp_path, dies_in=ONE)

    class Killed(Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 4.0
            raise KeyboardInterrupt

    monkeypatch.setattr(in_flight, "FIRST_PAUSE_SECONDS", 0.5)
    with pytest.raises(KeyboardInterrupt):
        InFlight(tmp_path, Killed()).of(ONE).__enter__()
    monkeypatch.setattr(in_flight, "FIRST_PAUSE_SECONDS", 0.0)
    a_life(tmp_path, dies_in=ONE)
    assert a_life(tmp_path) is None


def test_an_error_in_a_batch_counts_as_a_death(tmp_path: Path) -> None:
    for _ in range(DEATHS):
        flights = InFlight(tmp_path, Event())
        with pytest.raises(MemoryError), flights.of(ONE):
            raise MemoryError
    assert a_life(tmp_path) == ONE.place


def test_a_place_is_the_same_number_in_every_process_and_another_for_another() -> None:
    assert ONE.place == 1080762388576151259
    assert OTHER.place != ONE.place
