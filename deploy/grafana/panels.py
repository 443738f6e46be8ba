"""The kinds of panel that the dashboard is made of.

Invariant: every panel has a title, a unit, and a description that says what it means and what to
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import NamedTuple, Protocol, Self, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from deploy.grafana.looks import (
    BAD,
    COUNT,
    GOOD,
    MAIN_COLOR,
    RATIO,
    SHADOW_COLOR,
    Steps,
    Words,
    all_at_the_pointer,
    by,
    dashed,
    dashed_limit,
    fixed,
    last_values,
    no_legend,
    thresholds,
    wording,
)
from deploy.grafana.queries import DATA_SOURCE, Query, target

Panel: TypeAlias = Builder[model.Panel]


class About(NamedTuple):
    """What every panel says of itself; the grid is 24 wide."""

    title: str
    description: str
    unit: str = COUNT
    span: int = 8
    height: int = 8


class _Framed(Protocol):
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


Kind = TypeVar("Kind", bound=_Framed)


def framed(panel: Kind, about: About) -> Kind:
    framed = panel.title(about.title).description(about.description).datasource(DATA_SOURCE)
    return framed.unit(about.unit).span(about.span).height(about.height)


def tile(
    about: About,
    query: Query,
    *,
    steps: Steps = ((None, GOOD),),
    words: Words | None = None,
    no_value: str = "no data",
) -> stat.Panel:
    """One value now, large, on its colour; with a legend, that in the value's place."""
    shown = shapes.BigValueTextMode.NAME if query.legend else shapes.BigValueTextMode.VALUE
    panel = (
        framed(stat.Panel(), about)
        .thresholds(thresholds(steps))
        .color_scheme(by(FieldColorModeId.THRESHOLDS))
        .no_value(no_value)
        .color_mode(shapes.BigValueColorMode.BACKGROUND)
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .justify_mode(shapes.BigValueJustifyMode.CENTER)
        .orientation(shapes.VizOrientation.AUTO)
        .percent_change_color_mode(shapes.PercentChangeColorMode.STANDARD)
        .show_percent_change(False)
        .text_mode(shown)
        .wide_layout(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .with_target(target("A", query, instant=True))
    )
    return panel.mappings(wording(words)) if words else panel


def lines(
    about: About,
    *queries: Query,
    low: float | None = 0,
    high: float | None = None,
    limit: float | None = None,
) -> timeseries.Panel:
    """Values over time, the last of each in the legend; a dashed line at the limit."""
    panel = (
        framed(timeseries.Panel(), about)
        .color_scheme(by(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(2)
        .fill_opacity(0)
        .show_points(shapes.VisibilityMode.NEVER)
        .span_nulls(False)  # a gap is a gap: the process was down
        .legend(last_values(beside=about.span >= 12))
        .tooltip(all_at_the_pointer())
    )
    if low is not None:
        panel.min(low)
    if high is not None:
        panel.max(high)
    if limit is not None:
        panel.thresholds(thresholds([(None, GOOD), (limit, BAD)])).thresholds_style(dashed_limit())
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(target(letter, query))
    return panel


def beside_shadow(panel: timeseries.Panel) -> timeseries.Panel:
    """What begins with `main` in blue, and with `shadow` in orange, dashed."""
    return panel.override_by_regexp("/^main/", [fixed(MAIN_COLOR)]).override_by_regexp(
        "/^shadow/", [fixed(SHADOW_COLOR), dashed()]
    )


def bars(about: About, *queries: Query) -> timeseries.Panel:
    """What happened since the point before, one upon the other."""
    return (
        lines(about, *queries)
        .draw_style(shapes.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .line_width(0)
        .stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    )


def heat_map(about: About, query: Query) -> statushistory.Panel:
    """A ratio over time, a row for each series: its colour fades as it falls."""
    return (
        framed(statushistory.Panel(), about)
        .unit(RATIO)
        .decimals(0)
        .min(0)
        .max(1)
        .color_scheme(by(FieldColorModeId.CONTINUOUS_BLUES))
        .max_data_points(40)  # so that a cell has room for its number
        .row_height(0.95)
        .col_width(1)
        .fill_opacity(100)
        .line_width(0)
        .show_value(shapes.VisibilityMode.AUTO)
        .legend(no_legend())
        .tooltip(all_at_the_pointer())
        .with_target(target("A", query))
    )


def states(about: About, query: Query, words: Words, *, no_value: str) -> statetimeline.Panel:
    """From when to when each series had which of a few values."""
    return (
        framed(statetimeline.Panel(), about)
        .mappings(wording(words))
        .no_value(no_value)
        .thresholds(thresholds([(None, GOOD)]))
        .color_scheme(by(FieldColorModeId.THRESHOLDS))
        .fill_opacity(90)
        .line_width(0)
        .row_height(0.8)
        .merge_values(True)
        .show_value(shapes.VisibilityMode.AUTO)
        .align_value(shapes.TimelineValueAlignment.LEFT)
        .legend(no_legend())
        .tooltip(all_at_the_pointer())
        .with_target(target("A", query))
    )


class Column(NamedTuple):
    title: str
    expression: str
    unit: str
    look: Sequence[model.DynamicConfigValue] = ()


def rows(about: About, label: str, *columns: Column) -> table.Panel:
    """The values now, in a row for each value of the label that all of them have, and no other."""
    panel = framed(table.Panel(), about).show_header(True).cell_height(shapes.TableCellHeight.SM)
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    names = {}
    for letter, column in zip(ascii_uppercase, columns, strict=False):
        panel.with_target(target(letter, Query(column.expression), instant=True, tabular=True))
        names[f"Value #{letter}"] = column.title
        unit = model.DynamicConfigValue(id_val="unit", value=column.unit)
        panel.override_by_name(column.title, [unit, *column.look])
    order = {name: place for place, name in enumerate([label, *names])}
    organize = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="organize", options=organize)
    )
