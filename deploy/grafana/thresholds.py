"""The numbers that alerts compare with, for the dashboard's colours.

Invariant: they are read from Prometheus' rules, so that a panel turns red where an alert fires.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

RULES = Path(__file__).parents[1] / "prometheus" / "rules.yml"
PREFIX = "si_stream_threshold:"


def threshold(name: str) -> float:
    """Raises:
    KeyError: there is no such rule, or it is more than a number.
    """
    return _numbers()[name]


@cache
def _numbers() -> dict[str, float]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    numbers = {}
    for rule in (rule for group in groups for rule in group["rules"]):
        name = rule.get("record", "")
        if name.startswith(PREFIX) and (found := re.fullmatch(r"vector\((.+)\)", rule["expr"])):
            numbers[name.removeprefix(PREFIX)] = float(found[1])
    return numbers
