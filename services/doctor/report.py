"""What the doctor found, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.doctor.finding import Finding

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Report(BaseModel):
    """`si-stream doctor --json`."""

    format: str = "si-stream-doctor/1"
    healthy: bool
    findings: Sequence[Finding]


def show(found: Iterable[Finding], console: Console) -> list[Finding]:
    """A table on a terminal; elsewhere a line for each as it comes, and one for what to do."""
    if console.is_terminal:
        with console.status("looking…"):
            shown = [*found]
        console.print(table(shown))
    else:
        shown = []
        for finding in found:
            shown.append(finding)
            print(f"{finding.state:4}  {finding.about}: {finding.seen}", flush=True)
            if finding.advice:
                print(f"      → {finding.advice}", flush=True)
    counts = {state: sum(one.state == state for one in shown) for state in STYLES}
    console.print(
        f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} to mend",
        highlight=False,
    )
    return shown


def table(found: Iterable[Finding]) -> Table:
    shown = Table("", "what", "seen", "what to do", box=None, pad_edge=False)
    for finding in found:
        style = STYLES[finding.state]
        cells = (Text(finding.about), Text(finding.seen), Text(finding.advice, style=style))
        shown.add_row(Text(finding.state, style=style), *cells)
    return shown
