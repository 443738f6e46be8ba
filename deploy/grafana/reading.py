"""The dashboard as it lies in its file: what is asked of Prometheus, for tests and pictures.

Invariant: a query is asked as Grafana asks it, with the variables' values in their places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).parent / "dashboards" / "si-stream.json"
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class AskedQuery(NamedTuple):
    where: str
    """Title of the panel, or of what else asks."""
    letter: str
    expression: str
    instant: bool
    legend: str

    def filled(self, values: Mapping[str, str]) -> str:
        """Raises:
        KeyError: a variable has no value.
        """
        return VARIABLE.sub(lambda found: values[found[1]], self.expression)

    def name(self, labels: Mapping[str, str]) -> str:
        """What the legend calls the series of these labels."""
        return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), self.legend)


def dashboard(path: Path = DASHBOARD) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def rows(read: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By title the panels that stand below it, whether the row is open or closed."""
    found: dict[str, list[dict[str, Any]]] = {}
    title = ""
    for panel in read["panels"]:
        if panel["type"] == "row":
            found[title := panel["title"]] = list(panel["panels"])
        else:
            found[title].append(panel)
    return found


def panels(read: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but the rows, those in closed rows too."""
    return [panel for below in rows(read).values() for panel in below]


def queries(panel: Mapping[str, Any]) -> list[AskedQuery]:
    return [
        AskedQuery(
            panel["title"],
            target["refId"],
            target["expr"],
            target["instant"],
            target.get("legendFormat", ""),
        )
        for target in panel.get("targets", [])
    ]


def query_of_mark(annotation: Mapping[str, Any]) -> AskedQuery:
    expression = annotation["target"]["expr"]
    return AskedQuery(annotation["name"], "Anno", expression, False, annotation["titleFormat"])


def all_queries(read: Mapping[str, Any]) -> list[AskedQuery]:
    """Of panels and of annotations."""
    of_panels = [query for panel in panels(read) for query in queries(panel)]
    return of_panels + [query_of_mark(mark) for mark in read["annotations"]["list"]]
