"""What Prometheus answers to the dashboard's queries about one replay.

Invariant: the variables have the values that Grafana would give them for a graph of so many points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deploy.grafana.reading import AskedQuery, query_of_mark
from deploy.grafana.watched_replay import Watched

POINTS = 240


class Line(NamedTuple):
    name: str
    minutes: list[float]
    """Since the replay began."""
    values: list[float]
    """NaN where there is none."""


class Answers:
    """Args:
    watched: the replay.
    scrape_seconds: between two looks of Prometheus.
    """

    def __init__(self, watched: Watched, scrape_seconds: int) -> None:
        self._watched = watched
        self._scrape = scrape_seconds
        self.minutes = (watched.ended - watched.began) / 60

    def now(self, query: AskedQuery) -> list[tuple[Mapping[str, str], float]]:
        """Of each series, its labels and value."""
        expression = query.filled(self._values(self._scrape))
        found = self._watched.prometheus.query(expression, at=self._watched.ended)
        return [(sample.labels, sample.value) for sample in found]

    def over_time(self, query: AskedQuery, points: int = POINTS) -> list[Line]:
        """All series, by name."""
        began, ended = self._watched.began, self._watched.ended
        step = max(self._scrape, math.ceil((ended - began) / points))
        expression = query.filled(self._values(step))
        found = self._watched.prometheus.query_range(expression, start=began, end=ended, step=step)
        count = int((ended - began) / step) + 1
        lines = []
        for series in found:
            values = [math.nan] * count
            for when, value in series.values:
                values[round((when - began) / step)] = value
            minutes = [number * step / 60 for number in range(count)]
            lines.append(Line(query.name(series.labels), minutes, values))
        return sorted(lines)

    def marks(self, annotations: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Of each mark its colour and when it is, in minutes."""
        return [
            (annotation["iconColor"], minute)
            for annotation in annotations
            for line in self.over_time(query_of_mark(annotation))
            for minute, value in zip(line.minutes, line.values, strict=True)
            if value > 0
        ]

    def _values(self, step: int) -> dict[str, str]:
        rate = max(step + self._scrape, 4 * self._scrape)
        return {
            "model": self._watched.model,
            "task": ".*",
            "__interval": f"{step}s",
            "__rate_interval": f"{rate}s",
        }
