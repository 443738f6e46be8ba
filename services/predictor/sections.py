"""The sections of the page: what it shows, each a part that changes by itself.

Invariant: bounded, however many tasks and boundaries there have been. What the journal tells goes
before what the snapshot that is served knows, which may be some seconds older.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from services.learner_status import LearnerStatus
from services.predictor import answers
from services.predictor.served import Served
from services.story import Story
from si_stream.evaluation.measures import Measures

SHOWN_TASKS = 20
SHOWN_BOUNDARIES = 20


class Learner(LearnerStatus):
    away: bool = Field(description="nothing has been heard of it for more than five seconds")


class ServedSnapshot(BaseModel):
    epoch: int
    step: int
    samples: int
    written_seconds: float


class Track(BaseModel):
    """As of the last boundary."""

    name: str = Field(description="main, or shadow: the same without consolidation")
    consolidator: str
    average_accuracy: float | None
    mean_forgetting: float | None
    backward_transfer: float | None


class Measured(BaseModel):
    accuracy: float
    standard_error: float
    forgetting: float | None = Field(description="best at a boundary, less now")
    forgetting_standard_error: float | None = Field(
        description="of that difference, over the same samples"
    )
    samples: int | None = Field(description="learned when it was measured")


class TaskRow(BaseModel):
    name: str
    active: bool
    tracks: dict[str, Measured]


class Visit(BaseModel):
    task: str
    samples: int = Field(description="learned when it began")


class Boundary(BaseModel):
    task: str = Field(description="that ended")
    samples: int = Field(description="learned until then")
    noticed: bool = Field(description="by the learner itself, rather than told")


class MatrixRow(BaseModel):
    after: str = Field(description="the task that ended")
    cells: list[float | None]


class Matrix(BaseModel):
    tasks: list[str] = Field(description="of the columns, the latest that began")
    tracks: dict[str, list[MatrixRow]] = Field(description="the latest boundaries")


class Curve(BaseModel):
    """Holdout accuracy of one task over the stream."""

    samples: list[int]
    accuracy: list[float]


class Known(NamedTuple):
    """What the sections are made from."""

    story: Story
    status: LearnerStatus | None
    served: Served | None
    now_seconds: float

    @property
    def numbers(self) -> dict[str, int]:
        """By task, in the order in which they began: its column in a matrix's rows. The snapshot
        may leave a task out, and the journal may have begun later."""
        numbers = {one.task: one.number for one in self.story.opened.values()}
        if self.served:
            for name, number in zip(self.served.tasks, self.served.manifest.numbers, strict=True):
                numbers.setdefault(name, number)
        return dict(sorted(numbers.items(), key=itemgetter(1)))

    @property
    def tasks(self) -> list[str]:
        """In the order in which they began."""
        return [*self.numbers]

    @property
    def measures(self) -> dict[str, Measures]:
        """By track, those of the snapshot."""
        return self.served.manifest.tracks if self.served else {}

    @property
    def track_names(self) -> list[str]:
        named = [*self.measures, *(track for track, _ in self.story.curves), *self.story.ends]
        return [*dict.fromkeys(named)]


def sections_of(known: Known) -> dict[str, Any]:
    """By name; pydantic models, lists of these, or None."""
    return {
        "learner": _learner(known),
        "snapshot": _snapshot(known),
        "tracks": [_track(known, name) for name in known.track_names],
        "tasks": [_row(known, name) for name in known.tasks],
        "visits": [Visit(task=v.task, samples=v.samples) for v in known.story.visits],
        "boundaries": _boundaries(known.story),
        "matrix": _matrix(known),
        **_curves(known),
    }


def _learner(known: Known) -> Learner | None:
    if (status := known.status) is None:
        return None
    return Learner(**status.model_dump(), away=status.is_away(known.now_seconds))


def _snapshot(known: Known) -> ServedSnapshot | None:
    if known.served is None:
        return None
    manifest = known.served.manifest
    return ServedSnapshot(
        epoch=manifest.epoch,
        step=manifest.step,
        samples=manifest.samples,
        written_seconds=manifest.written_seconds,
    )


def _track(known: Known, name: str) -> Track:
    ends, measures = known.story.ends.get(name), known.measures.get(name)
    figures: tuple[float | None, ...] = (None, None, None)
    if ends:
        last = ends[-1]
        figures = (last.average_accuracy, last.mean_forgetting, last.backward_transfer)
    elif measures:
        matrix = measures.accuracy
        figures = (matrix.average_accuracy(), matrix.mean_forgetting(), matrix.backward_transfer())
    own = known.status.consolidator if known.status and name == "main" else "none"
    return Track(
        name=name,
        consolidator=measures.consolidator if measures else own,
        average_accuracy=figures[0],
        mean_forgetting=figures[1],
        backward_transfer=figures[2],
    )


def _row(known: Known, task: str) -> TaskRow:
    active = known.status.active_task if known.status else None
    tracks = {name: one for name in known.track_names if (one := _measured(known, name, task))}
    return TaskRow(name=task, active=task == active, tracks=tracks)


def _measured(known: Known, track: str, task: str) -> Measured | None:
    if curve := known.story.curves.get((track, task)):
        last = curve[-1]
        return Measured(
            accuracy=last.accuracy,
            standard_error=last.standard_error,
            forgetting=last.forgetting,
            forgetting_standard_error=last.forgetting_standard_error,
            samples=last.samples,
        )
    measures = known.measures.get(track)
    if measures is None or (live := measures.live.get(task)) is None:
        return None
    forgetting = live.forgetting
    if forgetting is None:  # of an older version, or at the task's first boundary
        forgetting = measures.accuracy.forgetting(known.numbers[task], now=live.accuracy)
    return Measured(
        accuracy=live.accuracy,
        standard_error=live.standard_error,
        forgetting=forgetting,
        forgetting_standard_error=live.forgetting_standard_error,
        samples=None,
    )


def _boundaries(story: Story) -> list[Boundary]:
    return [
        Boundary(task=end.task, samples=end.samples, noticed=end.samples in story.detected)
        for end in story.ends.get("main", ())
    ]


def _matrix(known: Known) -> Matrix:
    shown = [*known.numbers.items()][-SHOWN_TASKS:]
    columns = [number for _, number in shown]
    tracks = {}
    for track in known.track_names:
        rows = [(end.task, end.row) for end in known.story.ends.get(track, ())]
        if not rows and (measures := known.measures.get(track)):
            kept, dropped = measures.accuracy.rows, measures.accuracy.dropped_rows
            rows = [(f"boundary {dropped + 1 + n}", row) for n, row in enumerate(kept)]
        tracks[track] = [
            MatrixRow(after=after, cells=answers.cells_of(row, columns))
            for after, row in rows[-SHOWN_BOUNDARIES:]
        ]
    return Matrix(tasks=[name for name, _ in shown], tracks=tracks)


def _curves(known: Known) -> dict[str, Curve]:
    shown = {*known.tasks[-SHOWN_TASKS:]}
    return {
        f"curve/{track}/{task}": Curve(
            samples=[point.samples for point in curve],
            accuracy=[round(point.accuracy, 5) for point in curve],
        )
        for (track, task), curve in known.story.curves.items()
        if task in shown
    }
