"""A story is that of the life that counts, and stays small however long that is."""

from __future__ import annotations

from itertools import pairwise

from services.story import KEPT_ENDS, POINTS, Story
from si_stream import events


def opened(task: str, number: int, samples: int) -> events.TaskOpened:
    return events.TaskOpened(task, number, number, number + 1, samples)


def measured(task: str, samples: int, accuracy: float, track: str = "main") -> events.Evaluated:
    return events.Evaluated(track, task, samples // 10, samples, accuracy, 0.01, 100, None, None)


def ended(task: str, samples: int, row: list[float | None]) -> events.Consolidated:
    figures = (0.9, 0.1, -0.1, None, None)
    return events.Consolidated("main", task, samples // 10, samples, row, *figures)


def told(*said: events.Event) -> Story:
    story = Story()
    for event in said:
        story.hear(event)
    return story


def points(story: Story, task: str, track: str = "main") -> list[tuple[int, float]]:
    return [(one.samples, one.accuracy) for one in story.curves.get((track, task), [])]


FIRST = (
    events.LearnerStarted(1, 0, 0),
    opened("a", 0, 0),
    measured("a", 100, 0.8),
    measured("a", 200, 0.9),
    ended("a", 200, [0.9]),
    opened("b", 1, 200),
    measured("b", 300, 0.7),
    measured("a", 300, 0.6),
    measured("b", 400, 0.8),
)


def test_it_has_a_curve_of_each_task_and_what_was_said_at_boundaries() -> None:
    story = told(*FIRST)
    assert points(story, "a") == [(100, 0.8), (200, 0.9), (300, 0.6)]
    assert points(story, "b") == [(300, 0.7), (400, 0.8)]
    assert [end.task for end in story.ends["main"]] == ["a"]
    assert {task: one.samples for task, one in story.opened.items()} == {"a": 0, "b": 200}


def test_after_a_crash_it_goes_on_from_the_checkpoint_and_what_was_learned_beyond_is_gone() -> None:
    again = (measured("b", 300, 0.75), measured("a", 300, 0.65))
    story = told(*FIRST, events.LearnerStarted(2, 25, 250), *again)
    assert points(story, "a") == [(100, 0.8), (200, 0.9), (300, 0.65)]
    assert points(story, "b") == [(300, 0.75)]
    assert [end.samples for end in story.ends["main"]] == [200]


def test_a_checkpoint_from_before_a_boundary_takes_the_boundary_and_the_next_task_back() -> None:
    story = told(*FIRST, events.LearnerStarted(2, 15, 150))
    assert points(story, "a") == [(100, 0.8)]
    assert (points(story, "b"), story.ends["main"], [*story.opened]) == ([], [], ["a"])


def test_a_journal_of_learners_that_do_not_say_that_they_start_is_understood_too() -> None:
    story = told(*FIRST, measured("a", 100, 0.81))
    assert points(story, "a") == [(100, 0.81)]
    assert [*story.opened] == ["a"]


def test_a_learner_that_starts_where_it_stopped_takes_nothing_back() -> None:
    story, same = told(*FIRST, events.LearnerStarted(2, 40, 400)), told(*FIRST)
    assert story.curves == same.curves
    assert (story.ends, story.opened) == (same.ends, same.opened)


def test_behind_a_rewind_the_curves_are_those_of_what_is_learned_instead() -> None:
    alarm = events.Alarmed("a", 320, 250, 40.0, "taken", "errors", {})
    story = told(
        opened("a", 0, 0),
        measured("a", 100, 0.8),
        measured("a", 300, 0.5),  # of what was no longer task a
        alarm,
        events.Rewound(150, 170),
        measured("a", 250, 0.85),
        ended("a", 250, [0.85]),
        opened("task-2", 1, 250),
        measured("task-2", 300, 0.7),
    )
    assert points(story, "a") == [(100, 0.8), (250, 0.85)]
    assert points(story, "task-2") == [(300, 0.7)]
    assert story.detected.keys() == {250}
    assert (story.detected[250].signal, story.detected[250].evidence) == ("errors", 40.0)


def test_a_task_that_turns_out_to_be_a_known_one_was_never_opened() -> None:
    story = told(
        *FIRST[:5],
        opened("b", 1, 200),
        ended("b", 400, [0.6, 0.9]),
        opened("task-3", 2, 400),
        measured("task-3", 500, 0.9),
        events.Rewound(400, 256),
        events.TaskOpened("a", 0, 0, 2, 400),
    )
    assert [*story.opened] == ["a", "b"]
    assert [(visit.task, visit.samples) for visit in story.visits] == [
        *(("a", 0), ("b", 200), ("a", 400)),
    ]
    assert points(story, "task-3") == []


def test_behind_a_rollback_what_came_after_the_checkpoint_is_gone_before_a_learner_starts() -> None:
    story = told(*FIRST, events.RolledBack(2, 15, 150))
    assert points(story, "a") == [(100, 0.8)]
    assert (points(story, "b"), story.ends["main"], [*story.opened]) == ([], [], ["a"])


def test_what_is_told_again_counts_once() -> None:
    story = told(*FIRST[:6], events.LearnerStarted(2, 20, 200), *FIRST[3:6])
    assert [(visit.task, visit.samples) for visit in story.visits] == [("a", 0), ("b", 200)]
    assert points(story, "a") == [(100, 0.8), (200, 0.9)]
    assert len(story.ends["main"]) == 1


def test_a_long_curve_is_thinned_evenly_and_keeps_its_ends() -> None:
    story = told(*(measured("a", samples, 0.9) for samples in range(0, 100_000, 10)))
    curve = [samples for samples, _ in points(story, "a")]
    assert POINTS // 3 <= len(curve) <= POINTS
    assert (curve[0], curve[-1]) == (0, 99_990)
    gaps = [later - one for one, later in pairwise(curve)]
    assert max(gaps) <= 6 * 100_000 / POINTS


def test_of_boundaries_the_latest_are_kept() -> None:
    story = told(*(ended("a", samples, [0.9]) for samples in range(1000)))
    assert [end.samples for end in story.ends["main"]] == [*range(1000 - KEPT_ENDS, 1000)]
