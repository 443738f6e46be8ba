"""The predictor's metrics, in a registry of their own.

Invariant: labels are bounded: routes and tasks that exist, statuses that are given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.predictor.follower import Follower

UNKNOWN = "unknown"
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Metrics:
    def __init__(self, follower: Follower) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self.prediction_seconds = Histogram(
            "si_stream_prediction_duration_seconds",
            "From a request's body to its answer: reading the inputs, predicting, writing.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._predictions = Counter(
            "si_stream_predictions_total",
            "Inputs answered, by task.",
            ["task"],
            registry=self.registry,
        )
        self._requests = Counter(
            "si_stream_http_requests_total",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self._predictions_of: dict[str, Counter] = {}
        self._requests_to: dict[tuple[str, int], Counter] = {}
        self.registry.register(ServedCollector(self, follower))
        ProcessCollector(registry=self.registry)

    def predicted(self, task: str, inputs: int, seconds: float) -> None:
        counter = self._predictions_of.get(task)
        if counter is None:
            counter = self._predictions_of.setdefault(task, self._predictions.labels(task))
        counter.inc(inputs)
        self.prediction_seconds.observe(seconds)

    def answered(self, route: str, status: int) -> None:
        counter = self._requests_to.get((route, status))
        if counter is None:
            counter = self._requests.labels(route, str(status))
            self._requests_to[route, status] = counter
        counter.inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)


class ServedCollector(Collector):
    """What is being served, as of the moment it is asked for."""

    def __init__(self, metrics: Metrics, follower: Follower) -> None:
        self.metrics = metrics
        self.follower = follower

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "si_stream_http_requests_in_flight",
            "Requests being answered.",
            value=self.metrics.in_flight,
        )
        yield CounterMetricFamily(
            "si_stream_served_snapshot_loads_total",
            "Snapshots loaded and served.",
            value=self.follower.loads,
        )
        yield CounterMetricFamily(
            "si_stream_served_snapshot_load_failures_total",
            "Snapshots refused: cut short, altered, or not fit to answer.",
            value=self.follower.failures,
        )
        served = self.follower.served
        if served is None:
            return
        manifest = served.manifest
        for name, documentation, value in (
            ("epoch", "Epoch of the snapshot that answers.", manifest.epoch),
            ("step", "Step of the snapshot that answers.", manifest.step),
            ("samples", "Samples that the snapshot that answers was trained on.", manifest.samples),
            (
                "age_seconds",
                "Since the snapshot that answers was written.",
                max(0.0, time.time() - manifest.written_seconds),
            ),
        ):
            yield GaugeMetricFamily(f"si_stream_served_snapshot_{name}", documentation, value=value)
        position = GaugeMetricFamily(
            "si_stream_served_position_offset",
            "Offset of the next message that the snapshot that answers has not been trained on.",
            labels=["partition"],
        )
        for partition, (offset, _row) in sorted(manifest.position.items()):
            position.add_metric([str(partition)], offset)
        yield position
