"""Lives of a learner: the real service in a process that is watched, forked or started afresh.

`python -m tests.crashes.lives` is the process that forks: it has loaded torch, and has one thread
that computes nothing, so a child is as good as new. It reads an order a line and answers with the
child's process id, then with how it ended. With an order for its argument it lives that itself.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic import BaseModel

import services.in_flight
from services.learner import run
from si_stream.learning.kernels import choose_kernel
from si_stream.learning.kernels.interface import AdamStep, SgdStep, Synapses
from si_stream.settings import Settings
from tests.crashes.points import Point, Watch
from tests.crashes.trace import Trace


class Order(BaseModel):
    """How to live: the learner's settings, and what is to befall it."""

    settings: dict[str, Any]
    trace: Path
    log: Path
    dies_at: Point | None = None
    occurrence: int = 1
    poison: list[int] = []
    first_pause_seconds: float | None = None


def live(order: Order) -> NoReturn:
    """Learn as the service does, to the stream's end or to death."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor, file in ((0, nothing), (1, log), (2, log)):
        os.dup2(file, descriptor)
    code = 1
    try:
        watch = Watch(
            Trace(order.trace),
            dies_at=order.dies_at,
            occurrence=order.occurrence,
            poison=order.poison,
        )
        watch.begin()
        if order.first_pause_seconds is not None:
            services.in_flight.FIRST_PAUSE_SECONDS = order.first_pause_seconds
        run(Settings.model_validate(order.settings))
        code = 0
    except BaseException:  # noqa: BLE001 - a child never returns to what its parent was doing
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def load_kernels() -> None:
    """Once for all children, which otherwise take longer to load them than to learn. The tensors
    are NumPy's memory: PyTorch computes nothing."""
    kernel = choose_kernel("numba", "cpu", threads=1)
    weights, gradient, m, v = (torch.from_numpy(np.zeros(1, np.float32)) for _ in range(4))
    synapses = Synapses(weights, path_integral=m, importance=m, reference=m)
    kernel.adam(synapses, m, v, gradient, AdamStep(0.1, 0.1, 0.1, 0.1), strength=0.1)
    kernel.sgd(synapses, gradient, SgdStep(0.1), strength=0.1)


def fork() -> None:
    load_kernels()
    for line in sys.stdin:
        order = Order.model_validate_json(line)
        if (child := os.fork()) == 0:
            live(order)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        live(Order.model_validate_json(sys.argv[1]))
    fork()
