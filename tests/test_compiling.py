"""What Numba compiles: when it is called, and kept where it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from si_stream.compiling import compiled
from si_stream.learning.kernels.fused import _adam
from tests.learning.test_imports import output_of


def test_without_a_place_to_keep_it_the_machine_code_is_made_anew() -> None:
    namespace: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", namespace)  # has no file, so no place for a cache
    double = compiled(namespace["double"])
    assert double(2.0) == 4.0
    assert len(double.dispatcher.signatures) == 1


def test_it_is_kept_beside_the_module_or_where_numba_is_told_to() -> None:
    assert Path(_adam.dispatcher.stats.cache_path).is_absolute()


def test_numba_is_imported_when_a_function_is_called_and_not_before() -> None:
    code = """
import sys
import numpy as np
from si_stream.boundaries.sketch import Sketch
sketch = Sketch((4,))
print("numba" in sys.modules)
sketch.of(np.zeros((1, 4)))
print("numba" in sys.modules)
"""
    assert output_of(code).split() == ["False", "True"]
