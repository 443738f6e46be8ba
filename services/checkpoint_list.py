"""The checkpoints of a model as a table: what a person can roll back to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from si_stream.brokers.interface import offsets
from si_stream.checkpoints.store import CheckpointStore, label
from si_stream.errors import CorruptCheckpoint, NewerFormat


def print_checkpoints(directory: Path) -> None:
    """The newest first; each is read and checked, and one that cannot be read says why."""
    store = CheckpointStore(directory)
    table = Table("checkpoint", "written", "step", "samples", "task", "position", "MB", box=None)
    for path in store.newest_first():
        size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
        try:
            manifest = store.read(path).manifest
        except CorruptCheckpoint:
            table.add_row(label(path), "[red]damaged[/]")
            continue
        except NewerFormat:
            table.add_row(label(path), "[red]of a newer version[/]")
            continue
        ledger = manifest.ledger
        written = datetime.fromtimestamp(manifest.written_seconds).astimezone()
        active = ledger.tasks.active
        table.add_row(
            label(path),
            f"{written:%Y-%m-%d %H:%M:%S}",
            f"{ledger.steps}",
            f"{ledger.samples}",
            active.name if active else f"at a boundary, {len(ledger.tasks.known)} learned",
            offsets(ledger.position),
            f"{size:.1f}",
        )
    if not table.row_count:
        print(f"there is no checkpoint in {directory}")
        return
    console = Console()
    if not console.is_terminal:
        console.width = 200  # no line is broken in a file or a pipe
    console.print(table)
