"""The dashboard has the types of its Grafana, and the check would tell if it had not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.grafana import reading
from deploy.grafana.type_check import HERE, errors_of

Dashboard = dict[str, Any]


def panel(of: Dashboard, kind: str) -> dict[str, Any]:
    return next(one for one in reading.panels(of) if one["type"] == kind)


def defaults(of: Dashboard, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = panel(of, kind)["fieldConfig"]["defaults"]
    return found


# What goes wrong in a dashboard, and the word that the refusal must name.
WRONG: dict[str, Callable[[Dashboard], Any]] = {
    "refrsh": lambda it: it.update(refrsh="30s"),
    "mutli": lambda it: it["templating"]["list"][2].update(mutli=True),
    "textFromat": lambda it: it["annotations"]["list"][0].update(textFromat=""),
    "expression": lambda it: panel(it, "timeseries")["targets"][0].update(expression="up"),
    "lineWidht": lambda it: defaults(it, "timeseries")["custom"].update(lineWidht=2),
    "lines": lambda it: defaults(it, "timeseries")["custom"].update(drawStyle="lines"),
    "colourMode": lambda it: panel(it, "stat")["options"].update(colourMode="background"),
    "backgrund": lambda it: panel(it, "stat")["options"].update(colorMode="backgrund"),
    "rowHight": lambda it: panel(it, "status-history")["options"].update(rowHight=1),
    "mergeValue": lambda it: panel(it, "state-timeline")["options"].update(mergeValue=True),
    "cellHeigt": lambda it: panel(it, "table")["options"].update(cellHeigt="sm"),
    "decimal": lambda it: defaults(it, "table").update(decimal=1),
    "unit": lambda it: defaults(it, "timeseries").pop("unit"),
    "description": lambda it: panel(it, "timeseries").pop("description"),
    "absolut": lambda it: defaults(it, "stat")["thresholds"].update(mode="absolut"),
    "legendd": lambda it: of_closed_row(it)["options"].update(legendd={}),
}


def of_closed_row(of: Dashboard) -> dict[str, Any]:
    row = next(one for one in of["panels"] if one.get("collapsed"))
    found: dict[str, Any] = row["panels"][0]
    return found


def test_the_dashboard_has_the_types_of_its_grafana(dashboard_types: Path, tmp_path: Path) -> None:
    text = reading.DASHBOARD.read_text("utf-8")
    assert errors_of({"si-stream": text}, dashboard_types, tmp_path) == {"si-stream": []}


def test_a_wrong_field_is_refused_wherever_it_stands(dashboard_types: Path, tmp_path: Path) -> None:
    small = of_each_kind_one(reading.dashboard())
    dashboards = {"right": json.dumps(small)}
    for word, change in WRONG.items():
        change(wrong := copy.deepcopy(small))
        dashboards[word] = json.dumps(wrong)
    found = errors_of(dashboards, dashboard_types, tmp_path)
    assert found.pop("right") == []
    missed = [word for word, errors in found.items() if word not in "".join(errors)]
    assert missed == [], found


def of_each_kind_one(it: Dashboard) -> Dashboard:
    """The dashboard with the first panel of each kind, which is quicker to compile."""
    first = {one["type"]: one for one in reversed([*reading.panels(it)])}
    row = next(one for one in it["panels"] if one.get("collapsed"))
    return {**it, "panels": [{**row, "panels": row["panels"][:1]}, *first.values()]}


def test_what_npm_installs_is_pinned_and_names_no_host() -> None:
    package = json.loads((HERE / "package.json").read_text())
    lock = json.loads((HERE / "package-lock.json").read_text())
    wanted = package["devDependencies"]
    assert {"@grafana/schema", "typescript"} == wanted.keys()
    installed = {name: entry for name, entry in lock["packages"].items() if name}
    for name, version in wanted.items():
        assert installed[f"node_modules/{name}"]["version"] == version
    for entry in installed.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
    assert "://" not in (HERE / "package-lock.json").read_text()
