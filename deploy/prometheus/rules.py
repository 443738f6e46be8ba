"""The files of Prometheus and Alertmanager as documents, and with their durations divided, for
tests that cause a fault and cannot wait for a quarter of an hour.

Invariant: divided ones differ from those that are shipped in durations alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ALERTMANAGER_FILE = HERE.parent / "alertmanager" / "alertmanager.yml"
DURATION_KEYS = {"for", "keep_firing_for", "scrape_interval", "evaluation_interval"} | {
    *("group_wait", "group_interval", "repeat_interval")
}
IN_EXPRESSIONS = re.compile(r"(\[|offset )(\d+[smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Document = dict[str, Any]


def shipped() -> dict[str, Document]:
    """`prometheus.yml` and the files that it names, by name."""
    main = read(HERE / "prometheus.yml")
    return {"prometheus.yml": main, **{name: read(HERE / name) for name in main["rule_files"]}}


def read(path: Path) -> Document:
    document: Document = yaml.safe_load(path.read_text("utf-8"))
    return document


def divided(documents: Mapping[str, Document], by: float, *, least_seconds: float) -> Any:
    """The same documents, with durations and thresholds in seconds so many times as short.

    Args:
        least_seconds: no duration is shorter; some scrapes long, for a rate over few is luck.

    >>> divided({"for": "5m", "expr": "rate(a[10m] offset 2m)"}, by=60, least_seconds=3)
    {'for': '5000ms', 'expr': 'rate(a[10000ms] offset 3000ms)'}
    >>> divided({"record": "threshold:a_seconds", "expr": "vector(600)"}, by=60, least_seconds=3)
    {'record': 'threshold:a_seconds', 'expr': 'vector(10.0)'}
    """

    def shorter(text: str) -> str:
        seconds = float(text[:-1]) * SECONDS[text[-1]] / by
        return f"{max(seconds, least_seconds) * 1000:.0f}ms"

    def expression(text: str) -> str:
        return IN_EXPRESSIONS.sub(lambda found: found[1] + shorter(found[2]), text)

    def visit(node: Any) -> Any:
        if isinstance(node, list):
            return [visit(one) for one in node]
        if not isinstance(node, Mapping):
            return node
        changed = {key: visit(value) for key, value in node.items()}
        for key in DURATION_KEYS & changed.keys():
            changed[key] = shorter(changed[key])
        if isinstance(changed.get("expr"), str):
            changed["expr"] = expression(changed["expr"])
            if changed.get("record", "").endswith("_seconds"):
                value = float(changed["expr"].removeprefix("vector(").removesuffix(")"))
                changed["expr"] = f"vector({value / by})"
        return changed

    return visit(documents)


def alerts(documents: Mapping[str, Document]) -> dict[str, Document]:
    """The alert rules by name."""
    groups = [group for name, one in documents.items() for group in one.get("groups", [])]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
