"""Metrics of the learner's process: read at the scrape, whatever it is doing then."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from prometheus_client import CollectorRegistry

from services.process_metrics import ProcessMetrics
from si_stream.brokers.interface import Position
from tests.services.test_learner_host import hosted
from tests.streams import STREAM, enveloped, memory_broker, samples, settings

READ_AHEAD = "si_stream_read_ahead_messages"


def test_what_is_learned_and_how_is_one_line(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    chosen = settings(tmp_path, consolidator={"strength": 0.5}, detection={"kind": "adwin"})
    ProcessMetrics(registry).describe(chosen, torch.device("cpu"))
    labels = {
        "model": "si-stream",
        "network": "mlp",
        "consolidator": "synaptic-intelligence",
        "strength": "0.5",
        "detector": "adwin",
        "device": "cpu",
        "version": version("si-stream"),
    }
    assert registry.get_sample_value("si_stream_model_info", labels) == 1


def test_a_learner_says_what_it_is_before_it_has_learned_anything(tmp_path: Path) -> None:
    with hosted(memory_broker([]), settings(tmp_path)) as (host, _):
        (family,) = host.process_metrics._model.collect()
        assert [sample.labels["device"] for sample in family.samples] == ["cpu"]


def test_what_the_process_takes_is_the_standard_metrics_of_its_own() -> None:
    registry = CollectorRegistry()
    ProcessMetrics(registry)
    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "start_time_seconds"):
        assert registry.get_sample_value(f"process_{name}") > 0  # type: ignore[operator]


def test_on_a_cpu_no_device_memory_is_shown_and_none_is_asked_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = CollectorRegistry()
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: pytest.fail("it was asked"))
    ProcessMetrics(registry).describe(settings(), torch.device("cpu"))
    [family] = [one for one in registry.collect() if one.name == "si_stream_device_memory_bytes"]
    assert family.samples == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_the_memory_that_tensors_take_is_shown() -> None:
    registry = CollectorRegistry()
    device = torch.device("cuda")
    ProcessMetrics(registry).describe(settings(), device)
    tensor = torch.zeros(2**20, device=device)
    labels = {"device": torch.cuda.get_device_name(device)}
    shown = registry.get_sample_value("si_stream_device_memory_bytes", labels)
    assert shown is not None
    assert shown >= 4 * tensor.numel()


def test_read_ahead_is_what_was_taken_from_the_broker_and_not_yet_learned() -> None:
    broker = memory_broker([samples(3), samples(3, 3), samples(3, 6)], [samples(3, 9)])
    registry = CollectorRegistry()
    metrics = ProcessMetrics(registry)
    assert registry.get_sample_value(READ_AHEAD) == 0
    positions = {0: Position(1), 1: Position(0)}
    with broker.reader(STREAM, {0: 1}) as reader:
        metrics.watch_reader(reader, lambda: positions)
        assert registry.get_sample_value(READ_AHEAD) == 0
        reader.poll(0)
        assert registry.get_sample_value(READ_AHEAD) == 3
        positions = {0: Position(2, 2), 1: Position(1)}
        assert registry.get_sample_value(READ_AHEAD) == 1  # learned in part: two rows of three
        positions = {0: Position(3), 1: Position(1)}
        assert registry.get_sample_value(READ_AHEAD) == 0
        positions = {0: Position(3)}  # it takes part from the next boundary on
        assert registry.get_sample_value(READ_AHEAD) == 1


def test_a_partition_that_is_awaited_leaves_the_others_messages_waiting(tmp_path: Path) -> None:
    broker = memory_broker([samples(9, 9 * n, task="a") for n in range(4)], [])
    waiting: list[float] = []
    with hosted(broker, settings(tmp_path)) as (host, state):

        def read_ahead() -> float:
            [family] = host.process_metrics._read_ahead.collect()
            return family.samples[0].value

        def stopping() -> bool:
            if host.awaited.waiting() is not None and not waiting:
                waiting.append(read_ahead())
                broker.append(STREAM, 1, enveloped([samples(9, 40 + 9 * n) for n in range(4)]))
            return state.ledger.position == {0: Position(4), 1: Position(4)}

        host.stopping = stopping  # type: ignore[method-assign]
        host.learn(state)
        assert read_ahead() == 0
    assert waiting == [4]  # also the first, of which a sample waits for the rest of its batch
