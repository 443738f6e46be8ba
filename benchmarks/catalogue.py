"""The benchmarks by name, with the aim of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import compress
from typing import NamedTuple

from benchmarks import checkpoints, detection, kafka, predictions, starts, streams, train_steps
from benchmarks.rounds import Effort, Figure


class Benchmark(NamedTuple):
    run: Callable[[Effort], Figure]
    baseline: str
    """What the baseline is, behind its number."""
    at_most: float = math.inf
    at_least: float = 0.0

    @property
    def aim(self) -> str:
        bounds = (f"≤ {self.at_most:g}", f"≥ {self.at_least:g}")
        chosen = (math.isfinite(self.at_most), self.at_least > 0)
        return " ".join(compress(bounds, chosen))

    def reaches(self, value: float) -> bool:
        return self.at_least <= round(value, 2) <= self.at_most


BENCHMARKS = {
    benchmark.run.__name__: benchmark
    for benchmark in (
        Benchmark(train_steps.si_step_ratio_permuted, "s a plain step", at_most=1.05),
        Benchmark(train_steps.si_step_ratio_split, "s a plain step", at_most=1.10),
        Benchmark(train_steps.heads_step_ratio, "s a step with 2 heads", at_most=1.02),
        Benchmark(train_steps.channels_last_ratio, "s channels first", at_most=0.85),
        Benchmark(train_steps.wide_linear_ratio, "s PyTorch's layers", at_most=1.05),
        Benchmark(train_steps.state_bytes_per_parameter, "bytes with Adam alone", at_most=28),
        Benchmark(streams.learner_step_ratio, "s a plain step", at_most=1.10),
        Benchmark(streams.embedded_stream_ratio, "samples/s in memory", at_least=0.95),
        Benchmark(streams.embedded_while_writing_ratio, "samples/s in memory"),
        Benchmark(detection.detection_step_ratio, "s a step without", at_most=1.02),
        Benchmark(detection.detection_step_ratio_split, "s a step without", at_most=1.10),
        Benchmark(checkpoints.checkpoint_stall_steps, "s a step", at_most=1),
        Benchmark(kafka.kafka_stream_ratio, "samples/s in memory", at_least=0.95),
        Benchmark(kafka.kafka_producer_mb_per_second, "MB/s of kafka-python alone"),
        Benchmark(kafka.kafka_consumer_mb_per_second, "MB/s of kafka-python alone"),
        Benchmark(predictions.prediction_p99_ratio, "s without a learner", at_most=1.2),
        Benchmark(predictions.prediction_cpu_ratio, "CPU s of a FastAPI route", at_most=1.3),
        Benchmark(predictions.inference_p99_ratio, "s without a learner", at_most=1.2),
        Benchmark(predictions.inference_cpu_ratio, "CPU s of a FastAPI route", at_most=1.8),
        Benchmark(predictions.predictions_per_second, "requests/s of a FastAPI route"),
        Benchmark(predictions.micro_batch_ratio, "answers/s without"),
        Benchmark(starts.learner_start_seconds, "s to import torch", at_most=5),
    )
}
