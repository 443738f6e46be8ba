"""What a model's directory takes at most, once all of its tasks have come (docs/operations.md).

Invariant: it follows from the settings and from what the files are made of; nothing is measured.
"""

from __future__ import annotations

import math

from services.doctor.network import LEARNED_BYTES, SERVED_BYTES
from services.journal import LIMIT_BYTES
from si_stream.settings import Settings

PORTRAYED_BYTES = 8  # each number of a portrait; in snapshots, where inputs are compared with it:
COMPARED_BYTES = 4
LABEL_BYTES = 8
CELL_BYTES = 48  # an accuracy in a manifest, which has a line of its own


def bound_bytes(settings: Settings, parameters: int) -> int:
    """All but an embedded log.

    Args:
        parameters: of all tasks together, in one track.
    """
    kept = settings.checkpoints.keep + settings.checkpoints.keep_at_boundaries + 1
    return (
        kept * checkpoint_bytes(settings, parameters)
        + (settings.snapshots.keep + 1) * snapshot_bytes(settings, parameters)
        + (settings.boundaries.max_tasks + kept) * holdout_bytes(settings)
        + 2 * LIMIT_BYTES
    )


def checkpoint_bytes(settings: Settings, parameters: int) -> int:
    from si_stream.boundaries.kept_inputs import KEPT_BYTES

    portrait = PORTRAYED_BYTES * portrait_numbers(settings)
    watched, detection = 0, settings.detection
    if detection.kind != "off":
        inputs = detection.window_samples * sample_bytes(settings)
        watched = (
            2 * portrait + min(KEPT_BYTES, inputs) + LABEL_BYTES * 3 * detection.window_samples
        )
    return (
        LEARNED_BYTES * parameters * tracks(settings)
        + (settings.boundaries.max_tasks + 1) * portrait  # and one that is being drawn
        + watched
        + matrix_bytes(settings)
    )


def snapshot_bytes(settings: Settings, parameters: int) -> int:
    portraits = settings.boundaries.max_tasks * COMPARED_BYTES * portrait_numbers(settings)
    return SERVED_BYTES * parameters + portraits + matrix_bytes(settings)


def holdout_bytes(settings: Settings) -> int:
    """Of a task's set: on disk, and in the learner's memory. One that grows is written anew."""
    if settings.holdout.source == "off":
        return 0
    return settings.holdout.capacity * (sample_bytes(settings) + LABEL_BYTES)


def matrix_bytes(settings: Settings) -> int:
    from si_stream.evaluation.accuracy_matrix import KEPT_ROWS

    return KEPT_ROWS * settings.boundaries.max_tasks * CELL_BYTES * tracks(settings)


def portrait_numbers(settings: Settings) -> int:
    from si_stream.boundaries.portraits import shapes_of
    from si_stream.boundaries.sketch import size_of

    shapes = shapes_of(settings.model.width, size_of(settings.model.input_shape))
    return sum(math.prod(shape) for shape in shapes)


def sample_bytes(settings: Settings) -> int:
    return math.prod(settings.model.input_shape) * {"uint8": 1, "float32": 4}[settings.model.dtype]


def tracks(settings: Settings) -> int:
    return 1 if settings.learner.shadow == "off" else 2
