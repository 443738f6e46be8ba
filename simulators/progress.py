"""Shows a replay's progress: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simulators.replay import Progress

LINE_INTERVAL_SECONDS = 5.0


@contextmanager
def shown_progress(total_samples: int) -> Iterator[Callable[[Progress], None]]:
    """A callback for `simulators.replay.replay` that writes to stderr."""
    if sys.stderr.isatty():
        with _bar(total_samples) as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar(total_samples: int) -> Iterator[Callable[[Progress], None]]:
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} samples"),
        rich_progress.TextColumn("{task.fields[speed]}"),
        rich_progress.TimeRemainingColumn(),
    )
    started = time.monotonic()
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task("sending", total=total_samples, speed="")

        def show(progress: Progress) -> None:
            speed = progress.samples / max(time.monotonic() - started, 1e-9)
            bar.update(
                line,
                description=progress.task or "sending",
                completed=progress.samples,
                speed=f"{speed:,.0f}/s",
            )

        yield show


def _lines() -> Callable[[Progress], None]:
    started = shown = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < LINE_INTERVAL_SECONDS:
            return
        shown = now
        speed = max(progress.samples, 1) / (now - started)
        left = (progress.total_samples - progress.samples) / speed
        print(
            f"{progress.task or 'sending'}: {progress.samples:,} of {progress.total_samples:,} "
            f"samples, {speed:,.0f} samples/s, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    return show
