"""The network of the settings: whether it can be made, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from services.doctor.finding import Finding, fail, ok, refused
from si_stream.errors import SettingsError, SIStreamError
from si_stream.learning.options import ModelOptions
from si_stream.settings import Settings

LEARNED_BYTES = 28  # a parameter: θ, two moments, ω, Ω, θ̃ and a gradient or a copy, 4 bytes each
SERVED_BYTES = 4


class Size(NamedTuple):
    """Parameters of the trunk, and of each head."""

    trunk: int
    head: int

    def with_heads(self, count: int) -> int:
        return self.trunk + count * self.head


@cache
def size_of(model: ModelOptions) -> Size:
    """Raises:
    SettingsError: the network cannot be made.
    """
    from si_stream.learning.networks import build_trunk, count_features

    trunk = build_trunk(model)
    features = count_features(trunk, model)
    return Size(sum(p.numel() for p in trunk.parameters()), (features + 1) * model.width)


def full_size(settings: Settings) -> int | None:
    """Parameters once all tasks have come; None where the model is not known or cannot be made."""
    try:
        settings.require_model()
        size = size_of(settings.model)
    except SIStreamError:
        return None
    heads = settings.boundaries.max_tasks if settings.model.heads == "per-task" else 1
    return size.with_heads(heads)


def look(settings: Settings) -> Iterator[Finding]:
    if not (settings.model.input_shape and settings.model.width):
        return  # which is told of with the settings
    try:
        size = size_of(settings.model)
    except SettingsError as error:
        yield refused("network", error, "correct model.network")
        return
    except Exception as error:  # noqa: BLE001 - a trunk of one's own may raise anything
        yield fail("network", f"{type(error).__name__}: {error}", "correct model.network")
        return
    yield ok("network", f"{size.trunk:,} parameters, and {size.head:,} more for each head")
