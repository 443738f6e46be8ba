"""What counts against the product, of made-up sights: a verdict must miss no fault."""

from __future__ import annotations

import pytest

from tests.serving.balancer import Answer, Version, version_of
from tests.serving.verdict import (
    Outage,
    Publication,
    Seen,
    delays,
    failures,
    figures,
    keeps_its_promises,
    went_back,
)

LATER = 100.0


def answer(ended: float, version: Version | None, predictor: int | None = 0) -> Answer:
    return Answer(predictor, ended - 0.1, ended, version, None if version else "it broke")


def seen(*answers: Answer, published: Publication | None = None, **outages: list[Outage]) -> Seen:
    publications = [published or Publication((1, 1), 0.0)]
    of_predictor = {0: outages.get("predictor", [])}
    return Seen([*answers], publications, outages.get("learner", []), of_predictor, [0.01])


WELL = (answer(1.0, (1, 1)), answer(2.0, (1, 2)), answer(3.0, (2, 1)))


def test_newer_versions_soon_and_no_failure_keep_the_promises() -> None:
    assert keeps_its_promises(figures(seen(*WELL), LATER))


@pytest.mark.parametrize("predictor", [None, 0])
def test_a_failure_of_no_killed_predictor_breaks_them(predictor: int | None) -> None:
    found = figures(seen(*WELL, answer(4.0, None, predictor)), LATER)
    assert found["failed_otherwise"] == 1
    assert not keeps_its_promises(found)


def test_what_was_in_flight_at_a_killed_predictor_counts_apart() -> None:
    killed = [Outage(began=4.0, ended=9.0, dead=4.3)]
    before, in_flight, after = (answer(at, None) for at in (3.9, 4.35, 4.5))
    apart, others = failures(seen(before, in_flight, after, predictor=killed))
    assert apart == [in_flight]
    assert others == [before, after]


def test_an_older_version_after_a_newer_one_breaks_them() -> None:
    late = answer(4.0, (1, 9))
    found = seen(*WELL, late)
    assert went_back(found) == [(late, (2, 1))]
    assert not keeps_its_promises(figures(found, LATER))


def test_an_older_version_that_was_asked_for_before_the_newer_one_came_is_none() -> None:
    overtaken = Answer(0, 2.95, 3.2, (1, 2), None)
    assert went_back(seen(*WELL, overtaken)) == []


def test_another_predictor_may_be_behind() -> None:
    assert went_back(seen(*WELL, answer(4.0, (1, 1), predictor=1))) == []


def test_a_version_that_comes_late_or_never_breaks_them() -> None:
    late = seen(answer(1.0, (1, 1)), answer(5.5, (1, 2)), published=Publication((1, 2), 3.0))
    assert [(one.seconds, one.since) for one in delays(late, LATER)] == [(2.5, "publication")]
    assert not keeps_its_promises(figures(late, LATER))
    never = seen(answer(1.0, (1, 1)), published=Publication((1, 2), 3.0))
    assert [one.seconds for one in delays(never, LATER)] == [97.0]


def test_a_newer_version_will_do() -> None:
    newer = seen(answer(3.5, (1, 3)), published=Publication((1, 2), 3.0))
    assert [one.seconds for one in delays(newer, LATER)] == [0.5]


@pytest.mark.parametrize(
    ("whose", "since"),
    [("learner", "the learner's return"), ("predictor", "the predictor's return")],
)
def test_time_counts_from_the_end_of_an_outage(whose: str, since: str) -> None:
    away = [Outage(began=3.1, ended=8.0)]
    found = seen(answer(8.5, (1, 2)), published=Publication((1, 2), 3.0), **{whose: away})
    assert [(one.seconds, one.since) for one in delays(found, LATER)] == [(0.5, since)]
    over = [Outage(began=1.0, ended=2.0)]
    found = seen(answer(8.5, (1, 2)), published=Publication((1, 2), 3.0), **{whose: over})
    assert [(one.seconds, one.since) for one in delays(found, LATER)] == [(5.5, "publication")]


def test_versions_are_read_of_both_protocols() -> None:
    assert version_of({"version": {"epoch": 2, "step": 30}}) == (2, 30)
    assert version_of({"model_version": "2.30"}) == (2, 30)
