"""SI Stream learns a classifier from a stream whose tasks change, without forgetting the old ones.

Importing this package imports nothing heavy: each part is imported by its own name, and PyTorch
only when `SynapticIntelligenceOptimizer`, Synaptic Intelligence for one's own loop, is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from si_stream.learning.torch_optimizer import SynapticIntelligenceOptimizer

__all__ = ["SynapticIntelligenceOptimizer"]


def __getattr__(name: str) -> object:
    if name == "SynapticIntelligenceOptimizer":
        from si_stream.learning.torch_optimizer import SynapticIntelligenceOptimizer

        return SynapticIntelligenceOptimizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
