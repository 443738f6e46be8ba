"""A model whose arithmetic a test can hold up, and servers of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from si_stream.learning.options import NetworkOptions
from tests.services.predictor.serving import Running, Teacher, model_options, serving

LARGE = 10_000
"""Inputs of a request that the worker computes; of smaller ones the event loop would be held up."""


class Held(nn.Module):
    """Lets inputs through while nobody holds them up."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        passing.wait()
        hidden: Tensor = self.layer(inputs).relu()
        return hidden


passing = threading.Event()
passing.set()


def trunk() -> nn.Module:
    return Held()


@contextmanager
def held_up() -> Iterator[None]:
    passing.clear()
    try:
        yield
    finally:
        passing.set()


@contextmanager
def serving_held(directory: Path, **options: Any) -> Iterator[Running]:
    """A predictor whose answers wait while they are `held_up`."""
    module = f"{__name__}:trunk"
    network = NetworkOptions(kind="module", module=module)
    teacher = Teacher(directory, model_options(network=network))
    teacher.teach()
    teacher.publish()
    with serving(directory, own_module=module, max_inputs=2 * LARGE, **options) as running:
        running.wait_until_ready()
        yield running
