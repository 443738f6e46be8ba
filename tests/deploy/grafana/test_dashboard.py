"""The dashboard's file, and what every panel in it promises to whoever reads it at night."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import reading
from deploy.grafana.dashboard import encoded
from deploy.grafana.rows.run_book import LOOK_AT
from deploy.grafana.thresholds import threshold

GRAFANA = Path(reading.__file__).parent
READ = reading.dashboard()
ROWS = reading.rows(READ)
PANELS = [panel for panel in reading.panels(READ) if panel["type"] != "text"]
GRID_WIDTH = 24


def in_lines(panels: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for y in sorted({panel["gridPos"]["y"] for panel in panels}):
        yield [panel for panel in panels if panel["gridPos"]["y"] == y]


def test_the_file_is_what_the_code_makes() -> None:
    assert reading.DASHBOARD.read_text("utf-8") == encoded(), "run make dashboards"


def test_it_answers_is_it_healthy_is_it_forgetting_and_why_in_this_order() -> None:
    rows = [panel for panel in READ["panels"] if panel["type"] == "row"]
    assert [(row["title"], row["collapsed"]) for row in rows] == [
        ("1 · Healthy?", False),
        ("2 · Forgetting?", False),
        ("3 · Why?", False),
        ("4 · Resources", True),
        ("Task by task", True),
        ("Model and versions", True),
        ("Run-book", True),
    ]


def test_its_first_line_says_in_words_and_colours_what_is_wrong() -> None:
    first, *_ = in_lines(ROWS["1 · Healthy?"])
    assert first[0]["gridPos"]["y"] == 1  # below the row's title
    assert [panel["type"] for panel in first] == ["stat"] * 8
    for panel in first:
        assert panel["options"]["colorMode"] == "background"
    words = {
        panel["title"]: {
            value: shown["text"]
            for mapping in panel["fieldConfig"]["defaults"].get("mappings", [])
            for value, shown in mapping["options"].items()
        }
        for panel in first
    }
    assert words["Learner"] == words["Predictor"] == {"1": "UP", "0": "DOWN"}
    assert words["Learning"] == {"0": "IDLE", "-1": "STUCK"}
    assert words["Alerts firing"] == words["Worst forgetting"] == {"0": "none"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_says_what_it_means_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 30
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    if panel["type"] == "timeseries" and panel["options"]["legend"]["showLegend"]:
        assert panel["options"]["legend"]["calcs"] == ["lastNotNull"]
    assert panel["targets"]


def test_accuracies_and_shares_are_drawn_from_0_to_1() -> None:
    bounded = {
        panel["title"]
        for panel in PANELS
        if panel["fieldConfig"]["defaults"].get("max") is not None
        and panel["fieldConfig"]["defaults"]["unit"] == "percentunit"
    }
    for panel in PANELS:
        asked = " ".join(query.expression for query in reading.queries(panel))
        if panel["type"] in {"timeseries", "status-history"} and "accuracy_ratio" in asked:
            assert panel["title"] in bounded
            assert (panel["fieldConfig"]["defaults"]["min"]) == 0
            assert (panel["fieldConfig"]["defaults"]["max"]) == 1
    assert len(bounded) >= 7


def test_panels_fill_their_lines_and_no_two_have_one_id_or_one_place() -> None:
    rows = [panel for panel in READ["panels"] if panel["type"] == "row"]
    ids = [panel["id"] for panel in [*reading.panels(READ), *rows]]
    assert len(set(ids)) == len(ids)
    for title, panels in ROWS.items():
        for line in in_lines(panels):
            assert sum(panel["gridPos"]["w"] for panel in line) == GRID_WIDTH, title
            assert len({panel["gridPos"]["h"] for panel in line}) == 1, title


def test_tiles_and_dashed_lines_turn_red_where_an_alert_fires() -> None:
    limits = {
        panel["title"]: [
            step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in PANELS
        if "thresholds" in panel["fieldConfig"]["defaults"]
    }
    assert limits["Worst forgetting"][-1] == threshold("forgetting_ratio")
    assert limits["Forgetting beyond chance"][-1] == threshold("forgetting_ratio")
    assert limits["Checkpoint age"][-1] == threshold("checkpoint_age_seconds")
    assert limits["Lag"][-1] == limits["Lag by partition"][-1] == threshold("lag_messages")
    errors = f"- {threshold('forgetting_standard_errors'):g} * si_stream_forgetting_standard_error"
    [worst] = [q for q in reading.all_queries(READ) if q.where == "Worst forgetting"]
    assert errors in worst.expression


def test_each_alert_has_its_section_of_the_run_book_and_panels_to_look_at() -> None:
    [book] = ROWS["Run-book"]
    told = re.findall(
        r"^### (\w+)\n\nPanels: (.+)\.\n\n\*(?:page|ticket)\.\*",
        book["options"]["content"],
        re.MULTILINE,
    )
    rules = yaml.safe_load((GRAFANA.parent / "prometheus" / "alerts.yml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert sorted(alert for alert, _ in told) == sorted(alerts) == sorted(LOOK_AT)
    titles = {panel["title"] for panel in PANELS}
    assert [alert for alert, panels in told if not titles.issuperset(panels.split(", "))] == []
    assert "](" not in book["options"]["content"]  # its links would lead nowhere from here


def test_a_threshold_that_is_no_number_of_the_rules_is_refused() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        threshold("nonsense")


def test_every_query_is_about_the_chosen_model_and_data_source() -> None:
    for query in reading.all_queries(READ):
        selectors = query.expression.count("{")
        assert selectors == query.expression.count('model="$model"'), query
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])
    variables = {variable["name"]: variable for variable in READ["templating"]["list"]}
    assert list(variables) == ["datasource", "model", "task"]
    assert variables["task"]["multi"]
    assert variables["task"]["includeAll"]


def test_grafana_finds_the_dashboard_and_the_data_source_when_it_starts() -> None:
    [source] = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://127.0.0.1:9090"
    prometheus = yaml.safe_load((GRAFANA.parent / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    [provider] = yaml.safe_load(
        (GRAFANA / "provisioning" / "dashboards" / "si-stream.yml").read_text()
    )["providers"]
    assert provider["type"] == "file"
    assert Path(provider["options"]["path"]).is_absolute()
