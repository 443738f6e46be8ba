"""Every benchmark runs and writes its entry; what it says of speed is no test's business."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.catalogue import BENCHMARKS
from benchmarks.rounds import Effort

QUICK = Effort(rounds=1, quick=True)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_runs(name: str, request: pytest.FixtureRequest) -> None:
    if name.startswith("kafka"):
        request.getfixturevalue("local_kafka")  # skips where there cannot be a broker
    told: list[tuple[int, int]] = []
    found = BENCHMARKS[name].run(QUICK._replace(tick=lambda *progress: told.append(progress)))
    assert math.isfinite(found.value)  # a stall is a difference, which noise can turn below zero
    assert found.baseline > 0
    assert found.spread == 0  # of a single round
    assert told == [(0, 1), (1, 1)]


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name.endswith("stream_ratio")])
def test_the_rounds_of_a_stream_learn_the_same(name: str, request: pytest.FixtureRequest) -> None:
    """What one round has learned is still there for the next."""
    if name.startswith("kafka"):
        request.getfixturevalue("local_kafka")
    found = BENCHMARKS[name].run(QUICK._replace(rounds=3))
    assert found.baseline > 0
    assert found.value > 0


def test_a_parameter_costs_28_bytes_and_with_adam_alone_16() -> None:
    found = BENCHMARKS["state_bytes_per_parameter"].run(QUICK)
    assert (round(found.value, 2), round(found.baseline, 2)) == (28, 16)


def test_the_names_are_these() -> None:
    assert sorted(BENCHMARKS) == [
        "channels_last_ratio",
        "checkpoint_stall_steps",
        "detection_step_ratio",
        "detection_step_ratio_split",
        "embedded_stream_ratio",
        "embedded_while_writing_ratio",
        "heads_step_ratio",
        "inference_cpu_ratio",
        "inference_p99_ratio",
        "kafka_consumer_mb_per_second",
        "kafka_producer_mb_per_second",
        "kafka_stream_ratio",
        "learner_start_seconds",
        "learner_step_ratio",
        "micro_batch_ratio",
        "prediction_cpu_ratio",
        "prediction_p99_ratio",
        "predictions_per_second",
        "si_step_ratio_permuted",
        "si_step_ratio_split",
        "state_bytes_per_parameter",
        "wide_linear_ratio",
    ]


def test_the_command_prints_a_table_and_writes_the_entries(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    name = "state_bytes_per_parameter"
    output.write_text('{"another": {"value": 1}}')
    arguments = ["--quick", "--only", name, "--output", str(output)]
    ran = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    assert name in ran.stdout
    entries = json.loads(output.read_text())
    assert entries.keys() == {name, "another"}  # of another call, which is left as it is
    assert entries["another"] == {"value": 1}
    assert entries[name].keys() == {"value", "unit", "baseline", "spread", "commit"}


def test_a_benchmark_without_its_broker_is_skipped_with_the_reason(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    (tmp_path / "bin").mkdir()
    arguments = ["--quick", "--only", "kafka_stream_ratio", "--output", str(output)]
    environment = {"PATH": str(tmp_path / "bin"), "JAVA_HOME": None}
    ran = CliRunner().invoke(app, arguments, env=environment)
    assert ran.exit_code == 0, ran.output
    assert "kafka_stream_ratio is skipped: the Kafka broker needs Java" in ran.stdout
    assert json.loads(output.read_text()) == {}


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    ran = CliRunner().invoke(app, ["--only", "speed"], env={"COLUMNS": "1000"})
    assert ran.exit_code == 2
    assert "learner_start_seconds" in ran.output
