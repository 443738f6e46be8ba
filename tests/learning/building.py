"""The types of what the tests of the learning core are given: learners and batches, as asked."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from si_stream.learning.learner import Learner

Given = dict[str, Any]  # settings, by name


class Build(Protocol):
    def __call__(
        self,
        model: Given | None = None,
        optimiser: Given | None = None,
        consolidator: Given | None = None,
        compute: Given | None = None,
    ) -> Learner: ...


class Batches(Protocol):
    def __call__(
        self,
        count: int,
        task: int = 0,
        shape: tuple[int, ...] = (6,),
        size: int = 16,
        outputs: int = 3,
    ) -> list[tuple[Tensor, Tensor]]: ...
