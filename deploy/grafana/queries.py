"""PromQL of the dashboard's panels, with its variables.

Invariant: each query is about the one model that is chosen; counters may begin anew, and series of
theirs appear with their first event, without an event being lost or made up.
"""

from __future__ import annotations

from typing import NamedTuple

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATA_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
MODEL = 'model="$model"'
TASK = 'task=~"$task"'
MAIN, SHADOW = 'track="main"', 'track="shadow"'
LEARNER, PREDICTOR = 'job="si-stream-learner"', 'job="si-stream-predictor"'


class Query(NamedTuple):
    expression: str
    legend: str = ""
    """Names a series; its labels stand in double braces."""


def of(metric: str, *matchers: str) -> str:
    """The series of the chosen model, of those that match."""
    return f"{metric}{{{', '.join([MODEL, *matchers])}}}"


def rate(series: str) -> str:
    """A second, of counters."""
    return f"rate({series}[$__rate_interval])"


def within(series: str, window: str) -> str:
    """By how much each of these counters grew in the last `window`.

    `increase` alone takes a counter that appears with its first event for one that did not grow.
    """
    return f"(({series} unless {series} offset {window}) or increase({series}[{window}]))"


def at_each_step(series: str, by: str = "") -> str:
    """By how much these counters' sums grew since the graph's point before: no point is seen twice,
    and none is missed where points lie closer than scrapes do."""
    total = f"sum by ({by}) ({series})"
    before = f"sum by ({by}) ({series} offset $__interval)"
    return f"clamp_min({total} - ({before} or {total} * 0), 0)"


def quantile(share: float, histogram: str) -> str:
    """Of a histogram's observations; what follows `_bucket` is looked up."""
    return f"histogram_quantile({share}, sum by (le) ({rate(of(histogram + '_bucket'))}))"


def quantiles(histogram: str, *shares: float) -> list[Query]:
    """A line for each, such as ``9 of 10`` for 0.9."""
    names = {0.5: "half", 0.9: "9 of 10", 0.99: "99 of 100"}
    return [Query(quantile(share, histogram), names[share]) for share in shares]


def target(
    letter: str, query: Query, *, instant: bool = False, tabular: bool = False
) -> prometheus.Dataquery:
    asked = prometheus.Dataquery().ref_id(letter).expr(query.expression).datasource(DATA_SOURCE)
    asked = asked.instant() if instant else asked.range()
    if query.legend:
        asked.legend_format(query.legend)
    return asked.format(PromQueryFormat.TABLE if tabular else PromQueryFormat.TIME_SERIES)
