"""What was seen, held against what is promised: pure functions of times and versions.

Invariant: a time counts against the product unless something that a person did explains it: a
predictor cannot serve what its learner cannot be asked for, nor while it is away itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from statistics import quantiles
from typing import Any, NamedTuple

from tests.serving.balancer import Answer, Version

NEWEST_SECONDS = 2.0


class Outage(NamedTuple):
    """Unix times between which a process could not be asked; of a predictor, ``dead`` is when it
    was surely gone."""

    began: float
    ended: float
    dead: float = 0.0


class Publication(NamedTuple):
    version: Version
    at: float


class Delay(NamedTuple):
    """From a publication, or from the end of an outage since, to a predictor's first answer."""

    seconds: float
    version: Version
    predictor: int
    since: str


class Seen(NamedTuple):
    answers: list[Answer]
    publications: list[Publication]
    learner_outages: list[Outage]
    predictor_outages: dict[int, list[Outage]]
    disk_seconds: list[float]


def failures(seen: Seen) -> tuple[list[Answer], list[Answer]]:
    """Those in flight at a predictor that was killed, and all others."""
    failed = [one for one in seen.answers if one.failure is not None]
    in_flight = [one for one in failed if _was_in_flight(one, seen)]
    return in_flight, [one for one in failed if one not in in_flight]


def _was_in_flight(answer: Answer, seen: Seen) -> bool:
    outages = (
        seen.predictor_outages.get(answer.predictor, []) if answer.predictor is not None else []
    )
    return any(answer.started <= out.dead and answer.ended >= out.began for out in outages)


def went_back(seen: Seen) -> list[tuple[Answer, Version]]:
    """Answers of an older version than one that the same predictor had given before it was asked,
    and that one."""
    found = []
    for predictor in {one.predictor for one in seen.answers}:
        own = [one for one in seen.answers if one.predictor == predictor and one.version]
        by_end = sorted(own, key=lambda one: one.ended)
        newest = list(accumulate((one.version for one in by_end if one.version), max))
        known, place = (0, 0), 0
        for one in sorted(own, key=lambda one: one.started):
            while place < len(by_end) and by_end[place].ended < one.started:
                known = newest[place]
                place += 1
            assert one.version is not None
            if one.version < known:
                found.append((one, known))
    return found


def delays(seen: Seen, until: float) -> list[Delay]:
    """Of each publication and predictor; one that was never served until then has that long."""
    found = []
    for predictor in sorted(seen.predictor_outages):
        own = sorted(
            (one.ended, one.version)
            for one in seen.answers
            if one.predictor == predictor and one.version
        )
        times = [ended for ended, _ in own]
        newest = list(accumulate((version for _, version in own), max))
        for publication in seen.publications:
            first = next(
                (
                    t
                    for t, version in zip(times, newest, strict=True)
                    if version >= publication.version
                ),
                until,
            )
            began, since = publication.at, "publication"
            outages = {
                "the learner's return": seen.learner_outages,
                "the predictor's return": seen.predictor_outages[predictor],
            }
            for name, of_process in outages.items():
                for outage in of_process:
                    if outage.began < first and outage.ended > began:
                        began, since = outage.ended, name
            seconds = max(0.0, first - began)
            found.append(Delay(seconds, publication.version, predictor, since))
    return found


def figures(seen: Seen, until: float) -> dict[str, Any]:
    in_flight, others = failures(seen)
    back, waited = went_back(seen), delays(seen, until)
    answered = [one for one in seen.answers if one.failure is None]
    milliseconds = [1000 * (one.ended - one.started) for one in answered]
    versions = {one.version for one in answered}
    return {
        "requests": len(seen.answers),
        "answered": len(answered),
        "answered_by_predictor": dict(sorted(Counter(str(a.predictor) for a in answered).items())),
        "failed_in_flight_at_a_killed_predictor": len(in_flight),
        "failed_otherwise": len(others),
        "failures_otherwise": [one._asdict() for one in others[:10]],
        "older_after_newer": len(back),
        "went_back": [(one._asdict(), version) for one, version in back[:10]],
        "versions_published": len(seen.publications),
        "versions_served": len(versions),
        "epochs_served": sorted({version[0] for version in versions if version}),
        "seconds_to_serve_the_newest": {
            since: spread([one.seconds for one in waited if one.since == since])
            for since in sorted({one.since for one in waited})
        },
        "worst_seconds_to_serve_the_newest": round(max(one.seconds for one in waited), 3),
        "too_late": [one._asdict() for one in waited if one.seconds > NEWEST_SECONDS][:10],
        "answer_milliseconds": spread(milliseconds),
        "fsync_seconds": spread(seen.disk_seconds),
    }


def keeps_its_promises(found: dict[str, Any]) -> bool:
    return (
        found["answered"] > 0
        and not found["failed_otherwise"]
        and not found["older_after_newer"]
        and not found["too_late"]
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [*values] * 99
    return {
        "count": len(values),
        "p50": round(cuts[49], 3),
        "p90": round(cuts[89], 3),
        "p99": round(cuts[98], 3),
        "worst": round(max(values), 3),
    }
