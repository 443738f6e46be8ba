"""Statuses of learners that there never were."""

from __future__ import annotations

from typing import Any

from services.learner_status import LastCheckpoint, LastSnapshot, LearnerStatus


def a_status(**changes: Any) -> LearnerStatus:
    values: dict[str, Any] = {
        "version": "0.1.0",
        "written_seconds": 1_000_060.0,
        "started_seconds": 1_000_000.0,
        "pid": 7,
        "status": "learning",
        "model": "digits",
        "stream": "samples",
        "network": "mlp",
        "consolidator": "synaptic-intelligence",
        "strength": 1.0,
        "detector": "off",
        "shadow": "none",
        "device": "cpu",
        "epoch": 1,
        "step": 300,
        "samples": 19_200,
        "active_task": "digits-2-3",
        "awaited_partition": None,
        "position": {0: (12, 34)},
        "lag_messages": {0: 5},
        "steps_per_second": 120.0,
        "samples_per_second": 7_680.0,
        "last_batch_seconds": 1_000_059.9,
        "checkpoint": LastCheckpoint(
            step=250, samples=16_000, written_seconds=1_000_050.0, duration_seconds=0.2, bytes=9_000
        ),
        "snapshot": LastSnapshot(step=290, written_seconds=1_000_058.0),
        "skipped_batches": 0,
        "quarantined_batches": 0,
        "metrics_address": "http://127.0.0.1:9101/metrics",
    }
    return LearnerStatus(**values | changes)
