"""Summaries: what is made of the records that there are.

Invariant: figures and pictures are made from the records in the directory alone, those of the
settings that the runs have now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulators.reproductions.page import renew, shown
from simulators.reproductions.records import R, Records, write_json
from simulators.reproductions.reproduction import Place, Reproduction


def summarise(reproduction: Reproduction[R], place: Place, page: Path | None = None) -> None:
    """Summary and pictures of the records that there are."""
    found = recorded(reproduction, place)
    summary = summary_of(reproduction, found)
    write_json(place.summary, summary)
    reproduction.draw(found, summary, place.pictures)
    if page is not None:
        renew(page, reproduction.name, block(reproduction, summary, place, page))


def recorded(reproduction: Reproduction[R], place: Place) -> dict[str, list[R]]:
    """The records of each scenario that has some."""
    records = Records(place.runs, reproduction.kind)
    defaults = reproduction.defaults()
    found: dict[str, list[R]] = {}
    for name in reproduction.shown(records.scenarios()):
        for seed in records.seeds(name):
            settings = reproduction.settings(name, seed)
            if record := records.find(name, seed, settings, defaults):
                found.setdefault(name, []).append(record)
    return found


def summary_of(reproduction: Reproduction[R], found: Mapping[str, Sequence[R]]) -> dict[str, Any]:
    """What ``NAME.json`` says of the records."""
    return {
        name: {
            **reproduction.summarise(name, runs),
            **origin(runs),
            "command": reproduction.command(name, len(runs)),
        }
        for name, runs in found.items()
    }


def block(reproduction: Reproduction[R], summary: dict[str, Any], place: Place, page: Path) -> str:
    """What a page shows of a summary."""
    titles = reproduction.titles(summary)
    return shown(reproduction.table(summary), titles, place.pictures, page)


def origin(runs: Sequence[R]) -> dict[str, Any]:
    """How the runs of a scenario were made."""
    return {
        "run_seconds": round(sum(run.seconds for run in runs)),
        "device": _joined(run.device for run in runs),
        "threads": _joined(str(run.threads) for run in runs),
        "kernel": _joined(run.kernel for run in runs),
        "cpu": _joined(run.cpu for run in runs),
        "versions": {
            name: _joined(run.versions.get(name, "") for run in runs) for name in runs[0].versions
        },
        "commit": _joined(run.commit for run in runs),
    }


def _joined(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values)))
