"""What happened is told in words, and what comes often does not push out what comes seldom."""

from __future__ import annotations

import pytest

from services.happenings import KEPT, Happenings
from services.journal_reading import Told
from si_stream import events
from si_stream.errors import Reason


def told(*said: events.Event) -> Happenings:
    happenings = Happenings()
    for second, event in enumerate(said):
        happenings.hear(Told(float(second), event))
    return happenings


def consolidated(samples: int, track: str = "main") -> events.Consolidated:
    return events.Consolidated(track, "a", 1, samples, [0.9], 0.912, 0.1, -0.1, None, None)


ALARM = events.Alarmed("a", 12_400, 12_345, 61.2, "taken", "errors", {})
SAID: dict[str, tuple[events.Event, str]] = {
    "a start": (events.LearnerStarted(1, 0, 0), "A learner started, its 1st: with nothing learned"),
    "a start again": (events.LearnerStarted(12, 5, 80), "its 12th: at step 5, 80 samples."),
    "a rollback": (
        events.RolledBack(3, 5, 1280),
        "The model was rolled back to step 5, 1,280 samples; its 3rd learner goes on from there.",
    ),
    "the newest task again": (
        events.TaskOpened("b", 1, 1, 2, 1200, returned=True),
        "Task b was taken up again after 1,200 samples.",
    ),
    "a new task": (events.TaskOpened("b", 1, 1, 2, 1200), "Task b began after 1,200 samples."),
    "a known task": (events.TaskOpened("a", 0, 0, 2, 1200), "Task a was taken up again after"),
    "a task that may not end": (
        events.TaskGoesOn("task-3", 3, 72),
        "Task task-3 goes on, though it has had enough samples to end: no more than 3 tasks may",
    ),
    "a boundary": (consolidated(500), "ended after 500 samples (told): consolidated; 91.2 % right"),
    "an alarm": (
        ALARM,
        "errors rose at sample 12,345: evidence 61.2 nats, noticed 55 samples later",
    ),
    "a rewind": (events.Rewound(100, 28), "Learning went back to sample 100; 28 are learned again"),
    "a checkpoint": (events.CheckpointWritten(9, 70, 0.25, 2_500_000), "2.5 MB in 0.25 s"),
    "a full disk": (
        events.WritingFailed("checkpoint", "No space"),
        "could not be written: No spac",
    ),
    "a bad batch": (events.BatchSkipped("main", "a", 8, {}), "its loss was not finite"),
    "a deadly batch": (events.BatchQuarantined("a", 8, {}), "had died of it again and again"),
    "the end": (events.StreamEnded(9, 70_000), "The stream ended after 70,000 samples."),
    "new labels": (
        events.OutputsOpened("a", [3, 7], 5, 1),
        "new labels (3, 7); its head now has 5",
    ),
    "a world that came back": (
        events.WorldCompared("task-3", 900, "a", "a", 0.5, 1.25),
        "These are the inputs of a (distance 0.5, limit 1.25), which is taken up again.",
    ),
    "a new world": (
        events.WorldCompared("task-3", 900, None, "a", 3.0, 1.25),
        "are like those of no known task; the nearest is a (distance 3, limit 1.25).",
    ),
}


@pytest.mark.parametrize("what", SAID)
def test_it_is_said_in_words(what: str) -> None:
    event, text = SAID[what]
    [happening] = told(event)
    assert text in happening.text
    assert happening.text.endswith(".") or what == "a full disk"


def test_a_boundary_that_was_noticed_is_not_said_to_have_been_told() -> None:
    said = [one.text for one in told(ALARM, events.Rewound(12_000, 400), consolidated(12_345))]
    assert "(noticed)" in said[-1]
    assert "(told)" in [one.text for one in told(ALARM, consolidated(20_000))][-1]


def test_the_shadow_has_no_boundaries_of_its_own() -> None:
    assert [*told(consolidated(500, track="shadow"))] == []


def test_a_flood_is_one_line_that_counts_and_moves_to_the_end() -> None:
    flood = [
        events.Rejected(Reason.WRONG_TASK, f"the {number}-th", 0, number, None)
        for number in range(5000)
    ]
    opened, ended = events.TaskOpened("b", 1, 1, 2, 0), events.StreamEnded(1, 1)
    happenings = [*told(opened, *flood[:-1], ended, flood[-1])]
    assert [one.kind for one in happenings] == ["task", "boundary", "alarm"]
    assert (happenings[-1].count, happenings[-1].time_seconds) == (5000, 5001.0)
    assert "the 4999-th" in happenings[-1].text


def test_only_the_newest_are_kept() -> None:
    many = [events.TaskOpened(f"task-{n}", n, n, n + 1, n) for n in range(3 * KEPT)]
    happenings = [*told(*many)]
    assert len(happenings) == KEPT
    assert f"task-{3 * KEPT - 1} " in happenings[-1].text


def test_evidence_without_a_bound_is_none_in_the_journal_and_said_all_the_same() -> None:
    unbounded = events.Alarmed("a", 2, 1, None, "taken", "errors", {})  # type: ignore[arg-type]
    [happening] = told(unbounded)
    assert "evidence ∞ nats" in happening.text
