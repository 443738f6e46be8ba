"""The benchmarks by name, with the aim of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from benchmarks import predictions, starts, streams, train_steps
from benchmarks.rounds import Effort, Figure


class Benchmark(NamedTuple):
    run: Callable[[Effort], Figure]
    bound: Literal["≤", "≥"]
    aim: float
    baseline: str
    """What the baseline is, behind its number."""

    def reaches(self, value: float) -> bool:
        value = round(value, 2)
        return value <= self.aim if self.bound == "≤" else value >= self.aim


BENCHMARKS = {
    benchmark.run.__name__: benchmark
    for benchmark in (
        Benchmark(train_steps.si_step_ratio_permuted, "≤", 1.05, "s a plain step"),
        Benchmark(train_steps.si_step_ratio_split, "≤", 1.10, "s a plain step"),
        Benchmark(train_steps.heads_step_ratio, "≤", 1.02, "s a step with 2 heads"),
        Benchmark(train_steps.state_bytes_per_parameter, "≤", 28, "bytes for Adam alone"),
        Benchmark(streams.learner_step_ratio, "≤", 1.10, "s a plain step"),
        Benchmark(streams.embedded_stream_ratio, "≥", 0.95, "samples/s in memory"),
        Benchmark(streams.embedded_stream_ratio_while_writing, "≥", 0.95, "samples/s in memory"),
        Benchmark(predictions.prediction_p99_ratio, "≤", 1.2, "s on an idle machine"),
        Benchmark(predictions.prediction_cpu_ratio, "≤", 1.3, "CPU s of a FastAPI route"),
        Benchmark(starts.learner_start_seconds, "≤", 5, "s to import torch"),
    )
}
