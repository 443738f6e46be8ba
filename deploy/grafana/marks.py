"""Vertical lines in every graph: boundaries, alarms that made one, and starts of the learner."""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.looks import BAD, MAIN_COLOR, WATCH
from deploy.grafana.queries import DATA_SOURCE, LEARNER, Query, at_each_step, of, target


class TitledAnnotation(model.AnnotationQuery):
    """Where a query of Prometheus is above zero; Grafana's SDK has no field for the title."""

    def __init__(self, name: str, color: str, expression: str, title: str) -> None:
        super().__init__(name=name, datasource=DATA_SOURCE, icon_color=color)
        self._query = target("Anno", Query(expression)).build()
        self._title = title

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"target": self._query, "titleFormat": self._title}


class Mark(Builder[model.AnnotationQuery]):
    def __init__(self, name: str, color: str, expression: str, title: str) -> None:
        self._built = TitledAnnotation(name, color, expression, title)

    def build(self) -> model.AnnotationQuery:
        return self._built


def marks() -> list[Builder[model.AnnotationQuery]]:
    boundaries = at_each_step(of("si_stream_consolidations_total"))
    taken = at_each_step(of("si_stream_detector_alarms_total", 'decision="taken"'), "signal")
    began = at_each_step(of("process_start_time_seconds", LEARNER))
    return [
        Mark("Boundaries", MAIN_COLOR, f"{boundaries} > 0", "boundary: a task was consolidated"),
        Mark("Alarms taken", WATCH, f"{taken} > 0", "alarm of {{signal}}: a boundary was made"),
        Mark("Starts", BAD, f"{began} > 0", "the learner started, or is seen again"),
    ]
