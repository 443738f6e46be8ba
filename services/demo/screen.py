"""What the demo shows: bars and colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from services.asking import Key
from services.demo.place import Place
from services.demo.question import Question, request
from services.demo.story import DemoStory
from services.demo.tables import boundary_table, closing_table
from services.processes import Child
from si_stream import events
from si_stream.errors import DataError

LINE_INTERVAL_SECONDS = 5.0
METRICS = {
    "learner": ("average_accuracy_ratio", "mean_forgetting_ratio", "trained_samples_total{"),
    "predictor": ("predictions_total", "served_snapshot_step", "prediction_duration_seconds_sum"),
}

Show = Callable[[events.Event], None]


class Screen:
    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._page: str | None = None

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def second_choice(self, error: DataError) -> None:
        reason, closing, _advice = str(error).partition("): ")
        self.say(f"The demo learns scikit-learn's bundled digits: {reason}{closing[:1]}.")

    def opening(self, story: DemoStory, epochs: int, place: Place) -> None:
        tasks, samples = len(story.samples_of), f"{story.samples:,} samples"
        passes = "1 pass" if epochs == 1 else f"{epochs} passes"
        self.console.print(
            f"[bold]SI Stream[/bold] learns {story.scenario}: {tasks} tasks, one after the other.\n"
            f"{samples}, {passes} over each task. A shadow learns from the same stream\n"
            "without Synaptic Intelligence. ▼ marks a task more than 5 points below its best.\n"
            f"[dim]Simulator, learner and predictor are starting in {escape(str(place.path))}\n"
        )

    def page(self, address: str | None) -> None:
        """Name it once it is known, and only once."""
        if address is not None and self._page is None:
            self._page = address
            self.console.print(f"[bold]Watch it live at {address}[/bold]\n")

    @contextmanager
    def progress(self, story: DemoStory) -> Iterator[Show]:
        """A callback for each event that the story has heard."""
        if not self.console.is_terminal:
            yield self._lines(story)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("samples"),
            TextColumn("{task.fields[speed]}", style="cyan"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield self._bars(story, progress)

    def _bars(self, story: DemoStory, progress: Progress) -> Show:
        whole = progress.add_task("the stream", total=story.samples, speed="")
        bar = progress.add_task("", total=None, speed="", visible=False)
        pace = Pace()

        def show(event: events.Event) -> None:
            match event:
                case events.TaskOpened():
                    pace.begin(event.samples)
                    total = story.samples_of[event.task]
                    progress.reset(bar, description=event.task, total=total, visible=True)
                case events.Evaluated():
                    progress.update(whole, completed=event.samples)
                    learned = event.samples - story.visits[-1].samples
                    progress.update(bar, completed=learned, speed=pace.at(event.samples))
                case events.Consolidated():
                    self._table_if_complete(story)

        return show

    def _lines(self, story: DemoStory) -> Show:
        pace = Pace()
        shown = time.monotonic()

        def show(event: events.Event) -> None:
            nonlocal shown
            match event:
                case events.TaskOpened():
                    pace.begin(event.samples)
                case events.Evaluated() if time.monotonic() - shown >= LINE_INTERVAL_SECONDS:
                    shown, active = time.monotonic(), story.visits[-1]
                    learned = event.samples - active.samples
                    of_all = f"{learned:,} of {story.samples_of[active.task]:,} samples"
                    self.say(f"{active.task}: {of_all}, {pace.at(event.samples)}")
                case events.Consolidated():
                    self._table_if_complete(story)

        return show

    def _table_if_complete(self, story: DemoStory) -> None:
        if len({len(ends) for ends in story.ends.values()}) == 1:
            self.console.print(boundary_table(story))

    def closing(self, story: DemoStory) -> None:
        self.console.print(closing_table(story))

    def exchange(self, question: Question, command: str, answer: dict[str, Any]) -> None:
        """The question, as a command that can be copied, and the answer that was given to it."""
        self.console.print(
            f"[bold]Ask it for a prediction[/bold]: a test image of task {question.task}, "
            f"a handwritten {question.answer}.\n"
        )
        if self.console.is_terminal:
            self.console.print(picture(question.image))
            self.console.print()
        self.console.print(command, markup=False)
        self.console.print(json.dumps(answer), style="green", markup=False)
        label = answer["labels"][0]
        self.console.print(
            f"It is taken for a [bold]{answer['classes'][label]}[/bold], with a probability of "
            f"{answer['probabilities'][0][label]:.2%}."
        )

    def metrics(self, keys: Mapping[Child, Key]) -> None:
        """Some of the lines that Prometheus would read."""
        for child, key in keys.items():
            assert child.address is not None
            address = child.address.removesuffix("/metrics")
            self.console.print(f"\n[bold]{child.name}[/bold]: {address}/metrics")
            _, body = request(address, "/metrics", key=key)
            for line in body.decode().splitlines():
                if line.removeprefix("si_stream_").startswith(METRICS[child.name]):
                    self.console.print(line, style="dim", markup=False)

    def farewell(self, place: Place, address: str | None) -> None:
        """Args:
        address: of the predictor, if it stays.
        """
        self.console.print(f"\n[bold]Picture[/bold]: {escape(str(place.picture))}")
        if address is not None:
            self.console.print(
                f"\nLearner and predictor stay: the page is at {address}, and "
                f"{address}/openapi.json says what can be asked. Ctrl-C ends them."
            )


class Pace:
    """Samples a second since the active task began."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, samples: int) -> None:
        self._begun, self._samples = time.monotonic(), samples

    def at(self, samples: int) -> str:
        speed = (samples - self._samples) / (time.monotonic() - self._begun)
        return f"{speed:,.0f} samples/s"


def picture(image: npt.NDArray[np.uint8]) -> Text:
    """An image ``[height, width]`` in half blocks, two pixels to a character."""
    text = Text()
    for upper, lower in zip(image[::2], image[1::2], strict=False):
        text.append("  ")
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb({above},{above},{above}) on rgb({below},{below},{below})")
        text.append("\n")
    return text
