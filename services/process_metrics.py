"""Metrics of the learner's process: what it learns and how, and what it holds in memory.

Invariant: read when somebody scrapes them, from another thread; they change nothing, do not wait
for a device, and do not wake one that is not in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version

import torch
from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector

from si_stream.brokers.interface import Position, Reader
from si_stream.checkpoints.copies import device_name
from si_stream.settings import Settings


class ProcessMetrics:
    """Args:
    registry: where the metrics are registered; one a process serves at ``/metrics``.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._model = Info("si_stream_model", "What is learned, and how.", registry=registry)
        self._device_memory = Gauge(
            "si_stream_device_memory_bytes",
            "Memory of the GPU that tensors take, where one is learned on.",
            ["device"],
            registry=registry,
        )
        self._read_ahead = Gauge(
            "si_stream_read_ahead_messages",
            "Messages taken from the broker and not yet learned, of all partitions.",
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def describe(self, settings: Settings, device: torch.device) -> None:
        """Show what is learned: the same for as long as the process lives."""
        name = device_name(device)
        self._model.info(
            {
                "model": settings.model.name,
                "network": settings.model.network.kind,
                "consolidator": settings.consolidator.kind,
                "strength": f"{settings.consolidator.strength:g}",
                "detector": settings.detection.kind,
                "device": name,
                "version": version("si-stream"),
            }
        )
        if device.type == "cuda":
            taken = partial(torch.cuda.memory_allocated, device)
            self._device_memory.labels(name).set_function(taken)

    def watch_reader(self, reader: Reader, position: Callable[[], Mapping[int, Position]]) -> None:
        """Show how far a reader is ahead of what has been learned, in offsets as the lag is."""

        def ahead() -> float:
            learned = position()  # before the reader is asked, lest it be beyond its answers
            return sum(
                max(0, reader.fetched_offset(n) - learned.get(n, Position()).offset)
                for n in range(reader.partitions)
            )

        self._read_ahead.set_function(ahead)
