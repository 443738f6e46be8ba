from __future__ import annotations

from simulators.reproductions.silent.matching import Detected, Match, Matching, match

SAMPLES = 10_000


def test_each_change_has_the_boundary_that_was_noticed_behind_it() -> None:
    first, second = Detected(1999, 2040), Detected(5003, 5100)
    found = match([2000, 5000], [first, second], SAMPLES)
    assert found == Matching([Match(2000, first), Match(5000, second)], [], [])
    assert [(one.delay, one.cut_error) for one in found.matches] == [(40, 1), (100, 3)]


def test_what_is_noticed_before_the_change_is_a_false_alarm() -> None:
    early = Detected(1990, 1999)
    assert match([2000], [early], SAMPLES) == Matching([], [2000], [early])


def test_what_is_noticed_behind_the_next_change_is_not_of_the_one_before() -> None:
    late = Detected(2010, 5001)
    assert match([2000, 5000], [late], SAMPLES) == Matching([], [2000, 5000], [late])


def test_the_last_sample_of_a_stretch_is_still_of_its_change() -> None:
    last = Detected(2010, 4999)
    assert match([2000, 5000], [last], SAMPLES).matches == [Match(2000, last)]
    assert match([2000], [Detected(2010, SAMPLES - 1)], SAMPLES).missed == []


def test_a_cut_too_far_away_is_no_find() -> None:
    for cut, is_found in ((1488, True), (1487, False), (4048, True), (4049, False)):
        found = match([2000], [Detected(cut, 4100)], SAMPLES)
        assert (len(found.matches), len(found.missed), len(found.false)) == (
            (1, 0, 0) if is_found else (0, 1, 1)
        )


def test_a_drift_may_be_placed_anywhere_in_it() -> None:
    late = Detected(5500, 5600)
    assert match([2000], [late], SAMPLES).matches == []
    assert match([2000], [late], SAMPLES, drift_samples=2000).matches == [Match(2000, late)]


def test_of_two_boundaries_behind_one_change_the_nearer_is_its_own() -> None:
    near, far = Detected(2001, 2100), Detected(1900, 2040)
    found = match([2000], [far, near], SAMPLES)
    assert (found.matches, found.false) == ([Match(2000, near)], [far])


def test_no_boundary_is_two_changes() -> None:
    one = Detected(2150, 2200)
    assert match([2000, 2100], [one], SAMPLES) == Matching([Match(2100, one)], [2000], [])


def test_where_nothing_changes_every_boundary_is_false() -> None:
    one = Detected(700, 900)
    assert match([], [one], SAMPLES) == Matching([], [], [one])
