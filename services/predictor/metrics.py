"""The predictor's metrics, in a registry of their own.

Invariant: written by the event loop alone, hence plain numbers without locks; labels are bounded
by the routes and tasks that exist and the statuses that are given.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect

from services.predictor.admission import Admission
from services.predictor.follower import Follower
from services.predictor.mirror.mirror import REASONS, Mirror
from services.predictor.problems import BodyTooSlow
from si_stream.errors import DeadlinePassed, NoSnapshotYet, Overloaded, ShuttingDown

UNKNOWN = "unknown"
REJECTIONS: dict[type[Exception], str] = {
    Overloaded: "overloaded",
    DeadlinePassed: "deadline-passed",
    BodyTooSlow: "body-too-slow",
    ClientDisconnect: "client-gone",
    NoSnapshotYet: "no-snapshot-yet",
    ShuttingDown: "shutting-down",
}
"""Why a request for predictions was not computed, whatever was wrong with it."""
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        bounds = [*map(str, BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum)


class Metrics(Collector):
    """Args:
    follower: what is being served is read from it whenever somebody asks.
    admission: and how many are in.
    mirror: and how it is with the learner elsewhere, where one is followed by its URL.
    """

    def __init__(
        self, follower: Follower, admission: Admission, mirror: Mirror | None = None
    ) -> None:
        self.follower = follower
        self.admission = admission
        self.mirror = mirror
        self.in_flight = 0
        self.batches = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._predictions: Counter[str] = Counter()
        self._chosen: Counter[str] = Counter()
        self._rejected = dict.fromkeys(REJECTIONS.values(), 0)
        self._durations = Histogram()
        self._waits = Histogram()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def answered(self, route: str, status: int) -> None:
        self._requests[route, status] += 1

    def predicted(self, inputs: Mapping[str, int], choose: str | None, seconds: float) -> None:
        for task, count in inputs.items():
            self._predictions[task] += count
            if choose is not None:
                self._chosen[choose] += count
        self._durations.observe(seconds)

    def waited(self, seconds: float) -> None:
        self._waits.observe(seconds)

    def rejected(self, error: Exception) -> None:
        """Where it was not for what the request asks, which its status tells."""
        reason = REJECTIONS.get(type(error))
        if reason is not None:
            self._rejected[reason] += 1

    def text(self) -> bytes:
        """All of them in Prometheus' text exposition format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "si_stream_http_requests",
            "Requests answered, by route and status.",
            labels=["route", "status"],
        )
        for (route, status), count in self._requests.items():
            requests.add_metric([route, str(status)], count)
        yield requests
        yield GaugeMetricFamily(
            "si_stream_http_requests_in_flight", "Requests being answered.", self.in_flight
        )
        predictions = CounterMetricFamily(
            "si_stream_predictions", "Inputs answered, by task.", labels=["task"]
        )
        for task, count in self._predictions.items():
            predictions.add_metric([task], count)
        yield predictions
        chosen = CounterMetricFamily(
            "si_stream_predictions_chosen",
            "Inputs answered that named no task, by how it was chosen.",
            labels=["choose"],
        )
        for choose, count in self._chosen.items():
            chosen.add_metric([choose], count)
        yield chosen
        yield self._durations.family(
            "si_stream_prediction_duration_seconds",
            "From a request's whole body to its answer: waiting, reading the inputs, predicting, "
            "writing.",
        )
        yield self._waits.family(
            "si_stream_prediction_wait_seconds",
            "Of that, waiting for earlier requests, or for others of a batch.",
        )
        yield GaugeMetricFamily(
            "si_stream_prediction_requests_waiting",
            "Requests for predictions that are in: read, waiting or being answered.",
            self.admission.inside,
        )
        yield CounterMetricFamily(
            "si_stream_prediction_batches",
            "Batches of requests computed together, where there is a window for them.",
            self.batches,
        )
        rejected = CounterMetricFamily(
            "si_stream_prediction_requests_rejected",
            "Requests for predictions that were not computed, by reason; not those that no "
            "predictor could answer.",
            labels=["reason"],
        )
        for reason, count in self._rejected.items():
            rejected.add_metric([reason], count)
        yield rejected
        yield from self._served()
        if self.mirror is not None:
            yield from _source(self.mirror)

    def _served(self) -> Iterator[Metric]:
        prefix = "si_stream_served_snapshot"
        yield CounterMetricFamily(
            f"{prefix}_loads", "Snapshots loaded and served.", self.follower.loads
        )
        yield CounterMetricFamily(
            f"{prefix}_load_failures",
            "Snapshots refused: cut short, altered, or not fit to answer.",
            self.follower.failures,
        )
        served = self.follower.served
        if served is None:
            return
        manifest = served.manifest
        age_seconds = max(0.0, time.time() - manifest.written_seconds)
        for name, text, value in (
            ("epoch", "Epoch of the snapshot that answers.", manifest.epoch),
            ("step", "Step of the snapshot that answers.", manifest.step),
            ("samples", "Samples that the snapshot that answers has learned.", manifest.samples),
            ("age_seconds", "Since the snapshot that answers was written.", age_seconds),
        ):
            yield GaugeMetricFamily(f"{prefix}_{name}", text, value)
        position = GaugeMetricFamily(
            "si_stream_served_position_offset",
            "Offset of the next message that the snapshot that answers has not learned.",
            labels=["partition"],
        )
        for partition, (offset, _row) in sorted(manifest.position.items()):
            position.add_metric([str(partition)], offset)
        yield position


def _source(mirror: Mirror) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "si_stream_source_up",
        "1 where the learner that is followed by its URL answered when it was last asked.",
        int(mirror.reachable),
    )
    if (answered_at := mirror.learner.answered_at) is not None:
        yield GaugeMetricFamily(
            "si_stream_source_age_seconds",
            "Since the learner that is followed by its URL last answered.",
            max(0.0, time.monotonic() - answered_at),
        )
    yield CounterMetricFamily(
        "si_stream_source_received_bytes",
        "Bytes of snapshots, journal and state received from the learner.",
        mirror.learner.received_bytes,
    )
    yield CounterMetricFamily(
        "si_stream_source_snapshots",
        "Snapshots taken from the learner, whole and compared with their SHA-256.",
        mirror.taken,
    )
    failures = CounterMetricFamily(
        "si_stream_source_failures",
        "Looks at the learner that failed, by why.",
        labels=["reason"],
    )
    for reason in REASONS:
        failures.add_metric([reason], mirror.failures[reason])
    yield failures
