"""Functions that Numba compiles: once, and then cached.

Invariant: no fast-math, so the order of every sum is that of the code, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class compiled(Generic[P, R]):
    """The function, compiled when it is first called, for Numba takes a while to import too.

    Other threads run beside it.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.dispatcher(*args, **kwargs)
        return result

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's."""
        import numba

        options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
        try:
            return numba.njit(cache=True, **options)(self.function)
        except RuntimeError:  # no directory can be written to: compiled anew, in seconds
            return numba.njit(**options)(self.function)
