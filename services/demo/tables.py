"""Tables of holdout accuracy: the tasks side by side, with and without Synaptic Intelligence."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from services.demo.story import TRACKS, DemoStory, short_names

FORGOTTEN = 0.05  # below a task's best: so much is worth a mark


def boundary_table(story: DemoStory) -> Table:
    """How well each task is known at the newest boundary that all tracks have reached."""
    names = list(story.samples_of)
    boundary = story.boundaries - 1
    table = Table(
        title=f"After task {boundary + 1} of {len(names)}: holdout accuracy in %",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("task", no_wrap=True)
    for name in short_names(names):
        table.add_column(name, justify="right", min_width=6)
    table.add_column("average", justify="right", style="bold")
    for track, ends in story.ends.items():
        end = ends[boundary]
        cells = [
            accuracy_cell(accuracy, story.forgotten(track, boundary, task))
            for task, accuracy in enumerate(end.row)
        ]
        cells += [Text("·", style="dim")] * (len(names) - len(cells))
        table.add_row(TRACKS[track], *cells, percent(end.average_accuracy))
    return table


def accuracy_cell(accuracy: float | None, forgotten: float) -> Text:
    if forgotten > FORGOTTEN:
        return Text(f"▼ {percent(accuracy)}", style="bold red")
    return Text(percent(accuracy))


def closing_table(story: DemoStory) -> Table:
    """Average accuracy and forgetting when all has been learned."""
    table = Table(
        title=f"After all {len(story.samples_of)} tasks",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    table.add_column("average accuracy", justify="right")
    table.add_column("mean forgetting", justify="right")
    for track, ends in story.ends.items():
        last = ends[-1]
        table.add_row(
            TRACKS[track],
            f"{percent(last.average_accuracy)} %",
            f"{percent(last.mean_forgetting)} points",
        )
    return table


def percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:.1f}"
