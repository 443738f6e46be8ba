"""Happenings: what a person wants to read of a model's journal, in words, newest last.

Bounded. Invariant: what comes by the thousands (checkpoints, rejected messages) is one line, which
is replaced and counts; it cannot push out what comes seldom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from services.journal_reading import Told
from services.story import MAIN
from si_stream import events

KEPT = 60
Kind = Literal["learner", "task", "boundary", "checkpoint", "notice", "alarm"]
SIGNALS = {"errors": "errors", "inputs": "the inputs' distance", "losses": "losses"}


@dataclass(frozen=True, slots=True)
class Happening:
    """``count``: how many it stands for, the latest of which was at that time (Unix)."""

    time_seconds: float
    kind: Kind
    text: str
    count: int = 1


class Happenings:
    """In the order of their latest time."""

    def __init__(self) -> None:
        self._kept: dict[str, Happening] = {}
        self._number = 0
        self._noticed: dict[int, events.Alarmed] = {}

    def __iter__(self) -> Iterator[Happening]:
        return iter(self._kept.values())

    def hear(self, told: Told) -> None:
        match told.event:
            case events.LearnerStarted(epoch, step, samples):
                place = f"at step {step:,}, {samples:,} samples" if step else "with nothing learned"
                self._add(told, "learner", f"A learner started, its {_ordinal(epoch)}: {place}.")
            case events.RolledBack(epoch, step, samples):
                text = f"The model was rolled back to step {step:,}, {samples:,} samples; its"
                self._add(told, "learner", f"{text} {_ordinal(epoch)} learner goes on from there.")
            case events.TaskOpened(task, number, _, known, samples, returned):
                # Journals of before that was said tell it of all tasks but the newest.
                what = "was taken up again" if returned or number + 1 < known else "began"
                self._add(told, "task", f"Task {task} {what} after {samples:,} samples.")
            case events.TaskGoesOn(task, known):
                text = f"Task {task} goes on, though it has had enough samples to end:"
                self._add(told, "notice", f"{text} no more than {known} tasks may be known.")
            case events.Consolidated() as ended if ended.track == MAIN:
                self._add(told, "boundary", self._ended(ended))
            case events.Alarmed() as alarmed:
                self._alarmed(told, alarmed)
            case events.Rewound(samples, again):
                text = f"Learning went back to sample {samples:,}; {again:,} are learned again."
                self._add(told, "notice", text)
            case events.WorldCompared() as compared:
                self._add(told, "notice", _compared(compared))
            case events.OutputsOpened(task, labels, count, _):
                new = ", ".join(map(str, labels))
                text = f"Task {task} has new labels ({new}); its head now has {count} outputs."
                self._add(told, "notice", text)
            case events.CheckpointWritten(step, samples, seconds, size):
                text = f"Checkpoint of step {step:,}, {samples:,} samples: {size / 1e6:,.1f} MB"
                self._add(told, "checkpoint", f"{text} in {seconds:.2f} s.", key="checkpoint")
            case events.Rejected(reason, detail):
                text = f"Rejected as {reason}, kept as a dead letter: {detail:.300}"
                self._add(told, "alarm", text, key=f"rejected {reason}")
            case events.BatchSkipped(track, task):
                text = f"A batch of task {task} was skipped ({track}): its loss was not finite."
                self._add(told, "alarm", text, key=f"skipped {track}")
            case events.BatchQuarantined(task, samples):
                batch = f"A batch of task {task} ({samples} samples) was passed over"
                self._add(told, "alarm", f"{batch}: the learner had died of it again and again.")
            case events.WritingFailed(what, reason):
                text = f"A {what} could not be written: {reason}"
                self._add(told, "alarm", text, key=f"failed {what}")
            case events.StreamEnded(_, samples):
                self._add(told, "boundary", f"The stream ended after {samples:,} samples.")

    def _add(self, told: Told, kind: Kind, text: str, key: str | None = None) -> None:
        """Args:
        key: of those of which only the latest is kept.
        """
        self._number += 1
        before = self._kept.pop(key, None) if key else None
        count = before.count + 1 if before else 1
        self._kept[key or str(self._number)] = Happening(told.time_seconds, kind, text, count)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def _alarmed(self, told: Told, alarmed: events.Alarmed) -> None:
        rose = f"In task {alarmed.task} {SIGNALS.get(alarmed.signal, alarmed.signal)} rose"
        if alarmed.decision == "taken":
            self._noticed = {alarmed.cut: alarmed}
            late = alarmed.sample - alarmed.cut
            evidence = f"evidence {_figure(alarmed.evidence)} nats, noticed {late:,} samples later"
            self._add(told, "boundary", f"{rose} at sample {alarmed.cut:,}: {evidence}.")
        else:
            text = f"{rose}, but no boundary was made of it: {alarmed.decision}."
            self._add(told, "notice", text, key=f"alarm {alarmed.decision}")

    def _ended(self, ended: events.Consolidated) -> str:
        how = "noticed" if ended.samples in self._noticed else "told"
        text = f"Task {ended.task} ended after {ended.samples:,} samples ({how}): consolidated"
        if ended.average_accuracy is None:
            return f"{text}."
        return f"{text}; {100 * ended.average_accuracy:.1f} % right on average."


def _compared(compared: events.WorldCompared) -> str:
    figures = f"distance {_figure(compared.distance)}, limit {_figure(compared.limit)}"
    if compared.returned is None:
        nearest = f"the nearest is {compared.nearest} ({figures})"
        return f"The inputs of {compared.task} are like those of no known task; {nearest}."
    return f"These are the inputs of {compared.returned} ({figures}), which is taken up again."


def _figure(number: float | None) -> str:
    """None stands in the journal for what is not finite."""
    return "∞" if number is None else f"{number:.3g}"


def _ordinal(number: int) -> str:
    teen = 10 <= number % 100 <= 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
