"""docs/metrics.md and what is exported name the same metrics."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.process_metrics import ProcessMetrics
from si_stream.telemetry import Telemetry

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
SUFFIX = {"counter": "_total", "info": "_info"}


def test_the_page_names_every_metric_of_the_learner_and_no_other() -> None:
    registry = CollectorRegistry()
    Telemetry(registry)
    ProcessMetrics(registry)
    exported = {metric.name + SUFFIX.get(metric.type, "") for metric in registry.collect()}
    ours = {name for name in exported if not name.startswith("process_")}
    learner_part = PAGE.read_text("utf-8").partition("## The predictor")[0]
    assert set(re.findall(r"`(si_stream_\w+)`", learner_part)) == ours
