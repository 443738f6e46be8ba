"""SI Stream's dashboard: its rows from what must be seen first to what is rarely needed.

Invariant: the same code gives the same JSON, byte for byte; panels are numbered in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.marks import marks
from deploy.grafana.panels import Panel
from deploy.grafana.queries import DATA_SOURCE, LEARNER
from deploy.grafana.rows import (
    forgetting,
    healthy,
    reasons,
    resources,
    run_book,
    task_by_task,
    versions,
)

TITLE, UID = "SI Stream", "si-stream"


def build() -> model.Dashboard:
    made = (
        dashboard.Dashboard(TITLE)
        .uid(UID)
        .tags(["si-stream", "continual-learning"])
        .description(
            "Is it healthy, is it forgetting, and why? Each panel's ⓘ says what it means and "
            "what to do; docs/dashboards.md explains the rows, docs/operations.md is the "
            "run-book."
        )
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables(variables())
        .annotations(marks())
    )
    open_row(made, "1 · Healthy?", [*healthy.tiles(), *healthy.panels()])
    open_row(made, "2 · Forgetting?", forgetting.panels())
    open_row(made, "3 · Why?", reasons.panels())
    closed_row(made, "4 · Resources", resources.panels())
    closed_row(made, "Task by task", task_by_task.panels())
    closed_row(made, "Model and versions", versions.panels())
    closed_row(made, "Run-book", run_book.panels())
    built = made.build()
    assert built.panels is not None
    assert built.templating is not None
    number(built.panels)
    for variable in built.templating.list_val or []:
        # Of variables that are intervals alone; Grafana's SDK gives them to all.
        variable.auto = variable.auto_min = variable.auto_count = None
    return built


def encoded() -> str:
    """As it lies in the file."""
    return JSONEncoder(indent=2, ensure_ascii=False).encode(build()) + "\n"


def variables() -> list[Builder[model.VariableModel]]:
    source = (
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes learner and predictor.")
        .type("prometheus")
        .current(model.VariableOption(text="default", value="default"))
    )
    which = (
        dashboard.QueryVariable("model")
        .label("Model")
        .description("The label `model` of the targets in Prometheus.")
        .datasource(DATA_SOURCE)
        .query(labels_of("model", f"up{{{LEARNER}}}"))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    task = (
        dashboard.QueryVariable("task")
        .label("Task")
        .description("Which tasks are drawn; tiles and means are of all.")
        .datasource(DATA_SOURCE)
        .query(labels_of("task", 'si_stream_holdout_accuracy_ratio{model="$model"}'))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
    return [source, which, task]


def labels_of(label: str, series: str) -> dict[str, object]:
    return {"query": f"label_values({series}, {label})", "refId": f"{label}s"}


def open_row(made: dashboard.Dashboard, title: str, panels: Sequence[Panel]) -> None:
    made.with_row(dashboard.Row(title))
    for panel in panels:
        made.with_panel(panel)


def closed_row(made: dashboard.Dashboard, title: str, panels: Sequence[Panel]) -> None:
    """Its panels are asked for once it is opened."""
    row = dashboard.Row(title).collapsed(True)
    for panel in panels:
        row.with_panel(panel)
    made.with_row(row)


def number(panels: Sequence[model.Panel | model.RowPanel]) -> None:
    """Each gets an id of its own; Grafana's links name it."""
    numbers = count(1)
    for panel in panels:
        panel.id_val = next(numbers)
        for inner in panel.panels if isinstance(panel, model.RowPanel) else []:
            inner.id_val = next(numbers)
