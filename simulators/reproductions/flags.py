"""Flags that the commands of all reproductions have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Directory = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="For NAME.json and, in the folder NAME, records and pictures."
    ),
]
Processes = Annotated[int, typer.Option(min=1, help="Runs at a time, of a thread each.")]
Device = Annotated[
    Literal["cpu", "cuda", "auto"], typer.Option(help="auto is a GPU where there is one.")
]
Page = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A page in Markdown that has the table between its two marks."
    ),
]
RESULTS = Path("si-stream-results")
