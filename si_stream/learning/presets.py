"""The paper's three benchmarks as settings (Zenke et al. 2017, §5 and the authors' code).

Plain values in the shape of the settings tree, the lowest of its layers: a file, the
environment and the command line go over them.
"""

from __future__ import annotations

from typing import Any

_SPLIT_MNIST: dict[str, Any] = {
    "model": {
        "input_shape": (28, 28),
        "outputs": 2,
        "heads": "per-task",
        "batch_size": 64,
        "network": {"kind": "mlp", "hidden": (256, 256), "head_initialisation": "zero"},
    },
    "optimiser": {"learning_rate": 1e-3, "keep_over_boundary": "step-count"},
    "consolidator": {"strength": 1.0, "damping": 1e-3},
}

PRESETS: dict[str, dict[str, Any]] = {
    "split-mnist": _SPLIT_MNIST,
    "split-digits": {
        **_SPLIT_MNIST,
        "model": {**_SPLIT_MNIST["model"], "input_shape": (8, 8), "batch_size": 16},
    },
    "permuted-mnist": {
        "model": {
            "input_shape": (28, 28),
            "outputs": 10,
            "heads": "shared",
            "batch_size": 256,
            "network": {
                "kind": "mlp",
                "hidden": (2000, 2000),
                "head_initialisation": "glorot-uniform",
            },
        },
        "optimiser": {"learning_rate": 1e-3, "keep_over_boundary": "all"},
        "consolidator": {"strength": 0.1, "damping": 0.1},
    },
    "split-cifar": {
        "model": {
            "input_shape": (3, 32, 32),
            "outputs": 10,
            "heads": "per-task",
            "batch_size": 256,
            "network": {"kind": "cifar-cnn", "head_initialisation": "zero"},
        },
        "optimiser": {"learning_rate": 1e-3, "keep_over_boundary": "step-count"},
        "consolidator": {"strength": 0.01, "damping": 1e-3},
    },
}
