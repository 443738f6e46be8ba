"""The pace is that of the last ten complete seconds, whatever came before."""

from __future__ import annotations

from services.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_of_a_steady_learner_it_is_what_a_second_brings() -> None:
    clock = Clock()
    pace = Pace(clock)
    seen = []
    for _ in range(30 * 4):  # four batches a second
        pace.learned(64)
        clock.now += 0.25
        seen.append(pace.rates())
    assert set(seen[8:]) == {(4.0, 256.0)}


def test_it_falls_to_nothing_within_eleven_seconds_of_silence() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(10):
        pace.learned(10)
        clock.now += 1
    assert pace.rates() == (1.0, 10.0)
    clock.now += 5
    assert pace.rates() == (0.5, 5.0)
    clock.now += 5
    assert pace.rates() == (0.0, 0.0)


def test_before_the_first_second_is_over_there_is_none() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.learned(10)
    assert pace.rates() == (0.0, 0.0)


def test_what_it_remembers_does_not_grow() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(1000):
        pace.learned(1)
        clock.now += 1
    assert len(pace._seconds) <= 11
