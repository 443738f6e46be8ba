"""A course against the loop on a broker, which the other tests trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from si_stream import events
from si_stream.brokers.interface import Envelope
from si_stream.errors import SettingsError
from si_stream.rewinding import spacing_samples
from si_stream.settings import Settings
from simulators.options import ReplayOptions
from simulators.replay import envelopes
from simulators.reproductions import course as course_module
from simulators.reproductions.course import Course, Resumed, places_behind
from simulators.reproductions.jobs import Stopped
from simulators.stretches import true_boundaries
from tests.streams import DIGITS, digits, learn, learned_contents, memory_broker, settings

OPTIONS = ReplayOptions(
    epochs_per_task=12, boundaries="silent", holdout=False, boundary_jitter_samples=15
)


HUGE = {"kind": "sgd", "learning_rate": 1e30}


def detecting(**model: Any) -> Settings:
    groups: dict[str, Any] = {"detection": {"kind": "adwin"}, "holdout": {"source": "off"}}
    return settings(model=DIGITS | model, **groups)


def stream() -> Iterator[Envelope]:
    return envelopes(digits(), OPTIONS)


@pytest.fixture(scope="module")
def course() -> Course:
    course = Course(stream(), detecting(), keep_errors=True)
    course.learn()
    return course


def test_it_learns_what_the_loop_learns_from_a_broker(course: Course) -> None:
    state, _ = learn(memory_broker(list(stream())), detecting())
    assert learned_contents(course.state) == learned_contents(state)


def test_it_hears_of_each_alarm_once(course: Course) -> None:
    _, host = learn(memory_broker(list(stream())), detecting())
    heard = [(one.sample, one.cut, one.decision) for one in host.heard(events.Alarmed)]
    assert [(a.sample, a.cut, a.decision) for a, _ in course.alarms] == list(dict.fromkeys(heard))
    assert len([one for one in heard if one[2] == "taken"]) == 2


def test_tasks_open_at_the_cuts(course: Course) -> None:
    cuts = [alarm.cut for alarm, _ in course.alarms if alarm.decision == "taken"]
    assert [opening.first for opening in course.openings] == [0, *cuts]
    assert [opening.task for opening in course.openings] == ["task-1", "task-2", "task-3"]
    assert [opening.head for opening in course.openings] == [0, 1, 2]


def test_most_of_a_stretch_says_which_task_it_was(course: Course) -> None:
    second = course.openings[1].first
    assert course.active_in(0, second + 1).task == "task-1"
    assert course.active_in(second - 3, second + 4).task == "task-2"


def test_of_each_sample_it_keeps_whether_it_was_wrong(course: Course) -> None:
    assert len(course.wrong) == course.state.ledger.samples
    tested = course.state.measures()["main"].prequential.tasks
    assert course.wrong.sum() == sum(one.wrong for one in tested.values())


def test_what_was_taken_back_begins_before_the_change_and_ends_behind_the_alarm(
    course: Course,
) -> None:
    changes = true_boundaries(digits(), OPTIONS)
    alarms = [alarm.sample for alarm, _ in course.alarms if alarm.decision == "taken"]
    for change, alarm, (first, wrong) in zip(changes, alarms, course.taken_back, strict=True):
        assert first <= change < alarm < first + len(wrong)
    assert course.again == sum(len(wrong) for _, wrong in course.taken_back)


def test_its_accuracy_is_that_of_the_head_on_all_test_samples(course: Course) -> None:
    test = digits().tasks[0].test
    inputs, labels = test.take(np.arange(len(test)))
    learner = course.state.main.learner
    right = learner.predict(torch.from_numpy(inputs), 0).argmax(1).numpy() == labels
    assert course.accuracy(test, 0) == right.mean()


def test_a_learner_that_does_not_go_back_ends_tasks_behind_the_batch(course: Course) -> None:
    for place, (alarm, _) in zip(places_behind(course.alarms), course.alarms, strict=True):
        assert alarm.sample < place <= alarm.sample + DIGITS["batch_size"]


def test_at_each_boundary_it_tells_which_task_has_been_consolidated() -> None:
    told: list[tuple[str, int, int]] = []
    announced = envelopes(digits(), ReplayOptions(holdout=False))

    def tell(task: str) -> None:
        told.append((task, life.head_of(task), life.state.ledger.samples))

    life = Course(announced, settings(model=DIGITS), at_boundary=tell)
    life.learn()
    ends = np.cumsum([len(task.train) for task in digits().tasks]).tolist()
    assert told == [(task.name, n, ends[n]) for n, task in enumerate(digits().tasks)]


def test_it_stops_when_it_is_asked_to() -> None:
    seen: list[int] = []
    course = Course(stream(), detecting(), progress=seen.append, stop=lambda: len(seen) == 3)
    with pytest.raises(Stopped):
        course.learn()
    assert seen == [16, 32, 48]


def test_samples_that_do_not_fit_the_model_are_an_error() -> None:
    course = Course(stream(), detecting(outputs=1))
    with pytest.raises(SettingsError, match="label"):
        course.learn()


def test_records_that_no_rewind_needs_are_forgotten(course: Course) -> None:
    spacing = spacing_samples(detecting()) // OPTIONS.samples_per_message
    assert 0 < course._stream.kept <= 2 * spacing + 1 < len(list(stream()))


def test_a_batch_that_has_to_be_left_out_ends_the_run() -> None:
    given = detecting().model_copy(update={"optimiser": settings(optimiser=HUGE).optimiser})
    with pytest.raises(SettingsError, match="was not a finite number"):
        Course(stream(), given).learn()


def announced() -> Iterator[Envelope]:
    return envelopes(digits(), ReplayOptions(holdout=False, epochs_per_task=2))


@pytest.mark.parametrize("batches", [1, 7, 18, 50])
def test_from_what_it_was_when_it_was_stopped_another_goes_on_to_the_same_end(batches: int) -> None:
    whole = Course(announced(), settings(model=DIGITS))
    whole.learn()
    seen: list[int] = []
    saved: list[int] = []

    def save() -> None:
        saved.append(first.state.ledger.samples)

    first = Course(
        announced(),
        settings(model=DIGITS),
        progress=seen.append,
        stop=lambda: len(seen) == batches,
        save=save,
    )
    with pytest.raises(Stopped):
        first.learn()
    assert saved == seen[-1:]
    ledger, measures = first.state.ledger.copied(), first.state.measures()
    copied = {name: tensor.clone() for name, tensor in first.state.tensors().items()}
    second = Course(announced(), settings(model=DIGITS), resumed=Resumed(ledger, measures, copied))
    second.learn()
    assert learned_contents(second.state) == learned_contents(whole.state)


def test_now_and_then_it_is_saved_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course_module, "SAVE_SECONDS", 0.0)
    saved: list[int] = []
    life = Course(
        announced(),
        settings(model=DIGITS),
        save=lambda: saved.append(life.state.ledger.samples),
    )
    life.learn()
    assert saved == sorted(saved)
    assert len(set(saved)) == life.state.ledger.steps
    assert saved[-1] == life.state.ledger.samples
