"""Records made by hand."""

from __future__ import annotations

from typing import Any

from simulators.reproductions.paper.arm import Arm
from simulators.reproductions.paper.catalogue import BENCHMARKS, NONE, SI
from simulators.reproductions.paper.importance import Importance
from simulators.reproductions.paper.record import PaperRecord, Row
from simulators.reproductions.paper.settings import decided_by
from simulators.reproductions.paper.summary import summarised

DIGITS = BENCHMARKS["split-digits"]
SHORT = Arm(SI, 1.0, 2, 2)


def rows(*lower: list[float]) -> list[Row]:
    """Of tasks a, b, …; training samples are predicted better by 0.01."""
    return [
        Row(
            after="abcdef"[n],
            test=dict(zip("abcdef", row, strict=False)),
            train={task: value + 0.01 for task, value in zip("abcdef", row, strict=False)},
        )
        for n, row in enumerate(lower)
    ]


def record(seed: int = 0, arm: Arm = SHORT, **fields: Any) -> PaperRecord:
    """Two tasks; the first falls from 0.9 to 0.7, and the second is at 0.8."""
    given: dict[str, Any] = {
        "scenario": arm.name(DIGITS),
        "settings": decided_by(DIGITS, arm, seed),
        "versions": {"python": "3"},
        "commit": "abc",
        "device": "cpu",
        "threads": 1,
        "seconds": 2.0,
        "method": arm.method,
        "strength": arm.strength,
        "epochs": arm.epochs,
        "tasks": ["a", "b"],
        "samples": 100,
        "rows": rows([0.9], [0.7, 0.8]),
    }
    return PaperRecord(seed=seed, **(given | fields))


def importance(between: float) -> Importance:
    """Of two layers and two tasks; ω of the first layer has nothing in common."""
    return Importance(
        between_tasks={"hidden-1": [[1, 0], [0, 1]], "hidden-2": [[1, between], [between, 1]]},
        with_fisher={"hidden-1": [0.5, 0.7], "hidden-2": [0.2, 0.4]},
        with_fisher_ranks={"hidden-1": [0.9, 0.8], "hidden-2": [0.6, 0.6]},
    )


def held_back(arm: Arm, accuracy: float, seed: int = 0) -> PaperRecord:
    row = Row(after="a", validation={"a": accuracy}, train={"a": 1.0})
    return record(seed, arm=arm, rows=[row], tasks=["a"])


def summary(*records: PaperRecord) -> dict[str, Any]:
    """As the file has it."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(one.scenario for one in records):
        arm = Arm.named(name, DIGITS)
        assert arm
        own = [one for one in records if one.scenario == name]
        found[name] = {**summarised(DIGITS, arm, own), "device": own[0].device}
    return found


__all__ = ["DIGITS", "NONE", "SHORT", "SI", "held_back", "importance", "record", "rows", "summary"]
