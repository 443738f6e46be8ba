"""What the log says of events, in a sentence and in fields."""

from __future__ import annotations

import json
import logging
from typing import get_args

import pytest

from services.logs.lines import json_line
from services.logs.sentences import said
from si_stream import events
from si_stream.brokers.interface import Position
from si_stream.errors import Reason

BEHIND = {0: Position(5, 3)}
ALARM = events.Alarmed("a", 12_345, 12_300, 24.12, "taken", "errors", BEHIND)
SENTENCES: list[tuple[events.Event, int, str]] = [
    (
        ALARM,
        logging.INFO,
        "alarm of errors at sample 12,345: cut 12,300, evidence 24.1 nats, taken",
    ),
    (
        events.Alarmed("a", 900, 800, 2.0, "weak-evidence", "inputs", BEHIND),
        logging.INFO,
        "alarm of inputs at sample 900: cut 800, evidence 2.0 nats, not taken (weak-evidence)",
    ),
    (
        events.Rejected(Reason.NOT_FINITE, "row 3 holds nan", 1, 9, 3),
        logging.WARNING,
        "rejected not_finite at offset 9: row 3 holds nan",
    ),
    (
        events.LearnerStarted(2, 15, 1500),
        logging.INFO,
        "epoch 2 begins at step 15, 1,500 samples",
    ),
    (
        events.RolledBack(3, 10, 1000),
        logging.WARNING,
        "rolled back to step 10, 1,000 samples, in epoch 3",
    ),
    (
        events.TaskOpened("a", 0, 0, 1, 0),
        logging.INFO,
        "task 'a' is learned from sample 0 on, by head 0; 1 task is known",
    ),
    (
        events.TaskGoesOn("task-3", 3, 72),
        logging.WARNING,
        (
            "task 'task-3' goes on beyond boundaries.every_samples, since no other may begin: "
            "3 are known; raise boundaries.max_tasks, and it ends"
        ),
    ),
    (
        events.OutputsOpened("a", [2, 3], 4, 7),
        logging.INFO,
        "labels 2, 3 came to task 'a' for the first time; it has 4",
    ),
    (
        events.BatchSkipped("shadow", "a", 8, BEHIND),
        logging.ERROR,
        (
            "a batch of 8 samples of task 'a' has changed nothing in the shadow network, since its "
            "loss or gradient was not finite; it ends before 0:5.3"
        ),
    ),
    (
        events.BatchQuarantined("a", 8, BEHIND),
        logging.ERROR,
        (
            "a batch of 8 samples of task 'a' is passed over, since the process died of it again "
            "and again; it ends before 0:5.3"
        ),
    ),
    (
        events.Rewound(12_000, 345),
        logging.INFO,
        "rewound to sample 12,000: 345 samples are learned again",
    ),
    (
        events.WorldCompared("c", 1000, None, "a", 123.4, 80),
        logging.INFO,
        (
            "the world that begins at sample 1,000 is new; the nearest is that of task 'a': "
            "distance 123, limit 80"
        ),
    ),
    (
        events.WorldCompared("c", 1000, "a", "a", 12.34, 80),
        logging.INFO,
        (
            "the world that begins at sample 1,000 is that of task 'a', which is taken up again: "
            "distance 12.3, limit 80"
        ),
    ),
    (
        events.Evaluated("main", "a", 500, 4000, 0.9, 0.004, 2500, None, None),
        logging.DEBUG,
        "accuracy of the main network on task 'a': 0.9000 ± 0.0040",
    ),
    (
        events.Consolidated("main", "b", 9, 72, [0.8, 0.9], 0.85, 0.1, -0.1, None, None),
        logging.INFO,
        "task 'b' has ended in the main network, average accuracy 0.8500, mean forgetting 0.1000",
    ),
    (
        events.Consolidated("main", "a", 9, 72, [None], None, None, None, None, None),
        logging.INFO,
        "task 'a' has ended in the main network",
    ),
    (
        events.CheckpointWritten(9, 72, 0.254, 1_500_000),
        logging.DEBUG,
        "checkpoint of step 9 written in 0.25 s, 1.5 MB",
    ),
    (
        events.WritingFailed("snapshot", "no room"),
        logging.ERROR,
        "a snapshot is not written, the one before stays the newest: no room",
    ),
    (events.SnapshotPublished(2, 9, 72), logging.DEBUG, "snapshot 2.9 published"),
    (
        events.StreamEnded(9, 72),
        logging.INFO,
        "the stream's end is reached at step 9, 72 samples",
    ),
]
UNSAID = {
    events.Received,
    events.Awaiting,  # a reminder says it, if it takes long
    events.BatchLearned,
    events.Progress,
    events.LayerMeasured,
}


@pytest.mark.parametrize(("event", "level", "sentence"), SENTENCES)
def test_an_event_is_a_sentence(event: events.Event, level: int, sentence: str) -> None:
    line = said(event)
    assert line is not None
    assert (line.level, line.text) == (level, sentence)
    assert line.fields["event"] == type(event).__name__


def test_every_event_has_one_but_those_that_come_all_the_time() -> None:
    assert {type(event) for event, *_ in SENTENCES} == set(get_args(events.Event)) - UNSAID
    assert said(events.BatchLearned("a", 8, 0.1, 9)) is None


def test_the_fields_are_the_events_own() -> None:
    line = said(ALARM)
    assert line is not None
    assert json.loads(json_line(line.fields)) == {
        "event": "Alarmed",
        "task": "a",
        "sample": 12_345,
        "cut": 12_300,
        "evidence": 24.12,
        "decision": "taken",
        "signal": "errors",
        "behind": {"0": [5, 3]},
    }


@pytest.mark.parametrize(
    "event", [events.BatchSkipped("main", "a", 8, BEHIND), events.BatchQuarantined("a", 8, BEHIND)]
)
def test_the_samples_of_a_batch_are_not_taken_for_those_learned(event: events.Event) -> None:
    line = said(event)
    assert line is not None
    assert line.fields["batch_samples"] == 8
    assert "samples" not in line.fields
