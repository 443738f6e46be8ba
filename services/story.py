"""The story of a model as its journal tells it: curves, boundaries, and what is known of each task.

Bounded, however long it gets. Invariant: it is that of the life that counts. Where a learner goes
back, to a checkpoint or to before a change, what it had learned beyond is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from si_stream import events

MAIN, SHADOW = "main", "shadow"
POINTS = 240  # of a curve: more than a chart has pixels for
KEPT_ENDS = 100

Curve = list[events.Evaluated]


class Detected(NamedTuple):
    """A boundary that nobody told: how it was noticed."""

    signal: str
    evidence: float
    sample: int


class Story:
    """Attributes:
    opened: the tasks by name, as each first began.
    visits: the latest beginnings of tasks, in order; one that comes again begins again.
    curves: by track and task, its holdout accuracy as it was measured.
    ends: by track, what was said at each of the latest boundaries.
    detected: boundaries that nobody told, by the samples learned before them.
    version: epoch and step of the newest snapshot.
    """

    def __init__(self) -> None:
        self.opened: dict[str, events.TaskOpened] = {}
        self.visits: list[events.TaskOpened] = []
        self.curves: dict[tuple[str, str], Curve] = {}
        self.ends: dict[str, list[events.Consolidated]] = {}
        self.detected: dict[int, Detected] = {}
        self.version = (0, 0)
        self._samples = 0

    def hear(self, event: events.Event) -> None:
        match event:
            case events.LearnerStarted() | events.RolledBack():
                self._go_back(event.samples)
            case events.Rewound():
                self._go_back(event.samples)
                # A task that began just there was not opened yet; it may be another one now.
                self._forget_openings(event.samples - 1)
            case events.TaskOpened():
                self._reached(event.samples)
                self.opened.setdefault(event.task, event)
                if self.visits and self.visits[-1].samples == event.samples:  # told again
                    self.visits.pop()
                self.visits = [*self.visits, event][-KEPT_ENDS:]
            case events.Evaluated():
                self._reached(event.samples)
                self._measured(event)
            case events.Consolidated():
                self._reached(event.samples)
                self._ended(event)
            case events.Alarmed(decision="taken"):
                self.detected[event.cut] = Detected(event.signal, event.evidence, event.sample)
                self.detected = dict([*self.detected.items()][-KEPT_ENDS:])
            case events.SnapshotPublished():
                self.version = (event.epoch, event.step)

    def _measured(self, event: events.Evaluated) -> None:
        curve = self.curves.setdefault((event.track, event.task), [])
        if curve and curve[-1].samples == event.samples:  # at a boundary, or told again
            curve.pop()
        curve.append(event)
        if len(curve) > POINTS:
            curve[:] = thinned(curve, POINTS // 2)

    def _ended(self, event: events.Consolidated) -> None:
        ends = self.ends.setdefault(event.track, [])
        if ends and ends[-1].samples == event.samples:  # told again
            ends.pop()
        ends.append(event)
        del ends[:-KEPT_ENDS]

    def _reached(self, samples: int) -> None:
        if samples < self._samples:  # a journal of before learners said that they start
            self._go_back(samples)
        self._samples = samples

    def _go_back(self, samples: int) -> None:
        """What was learned beyond so many samples is learned again, or was never to be."""
        self._samples = samples
        self._forget_openings(samples)
        for curve in self.curves.values():
            while curve and curve[-1].samples > samples:
                curve.pop()
        self.curves = {key: curve for key, curve in self.curves.items() if curve}
        for ends in self.ends.values():
            while ends and ends[-1].samples > samples:
                ends.pop()

    def _forget_openings(self, samples: int) -> None:
        """Those beyond so many samples."""
        self.opened = {task: one for task, one in self.opened.items() if one.samples <= samples}
        self.visits = [one for one in self.visits if one.samples <= samples]


def thinned(curve: Sequence[events.Evaluated], count: int) -> Curve:
    """At most so many of its points, evenly over the stream, with the first and the last."""
    gap = (curve[-1].samples - curve[0].samples) / max(1, count - 2)
    kept = [curve[0]]
    for point in curve[1:-1]:
        if point.samples - kept[-1].samples >= gap:
            kept.append(point)
    return [*kept, curve[-1]]
