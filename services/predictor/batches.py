"""Batches: small requests of one snapshot and task that are computed together.

Invariant: a request waits for others no longer than the window, and is part of one batch, which
holds at most `MAX_ROWS` inputs. What one has sent cannot spoil the answers of its neighbours. A
product of several rows may differ in the last bits from that of one.
"""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from services.predictor.deadlines import kept
from services.predictor.messages import is_gone
from services.predictor.metrics import Metrics
from services.predictor.served import Served
from si_stream.checkpoints.snapshots import ServedTask

MAX_ROWS = 64
"""The event loop is held up by a batch, and more rows hardly make each of them cheaper."""

Probabilities = npt.NDArray[np.float32]


class Waiting(NamedTuple):
    inputs: npt.NDArray[Any]
    receive: Receive
    result: asyncio.Future[Probabilities]


class Batch:
    """Of requests that wait, closed when it is full or its window has passed."""

    def __init__(self, served: Served, task: ServedTask) -> None:
        self.served = served
        self.task = task
        self.waiting: list[Waiting] = []
        self.rows = 0
        self.began = math.inf
        """When it was computed, in seconds of the monotonic clock."""

    def add(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self.rows += len(waiting.inputs)

    def compute(self) -> bool:
        """For all whose deadline has not passed and whose clients are still there, if any are."""
        self.began = monotonic()
        there = []
        for waiting in self.waiting:
            if waiting.result.done():
                continue
            if is_gone(waiting.receive):
                waiting.result.set_exception(ClientDisconnect())
            else:
                there.append(waiting)
        if there:
            self._compute_together(there)
        return bool(there)

    def _compute_together(self, there: list[Waiting]) -> None:
        try:
            probabilities_BC = self.served.probabilities(
                np.concatenate([waiting.inputs for waiting in there]), self.task
            )
        except Exception:  # noqa: BLE001  one of them may be at fault, and is told so alone
            self._compute_each(there)
            return
        first = 0
        for waiting in there:
            last = first + len(waiting.inputs)
            waiting.result.set_result(probabilities_BC[first:last])
            first = last

    def _compute_each(self, there: list[Waiting]) -> None:
        for waiting in there:
            try:
                waiting.result.set_result(self.served.probabilities(waiting.inputs, self.task))
            except Exception as error:  # noqa: BLE001  raised where it is awaited
                waiting.result.set_exception(error)


class Batches:
    """Args:
    window_seconds: how long the first of a batch waits for others.
    """

    def __init__(self, window_seconds: float, metrics: Metrics) -> None:
        self.window_seconds = window_seconds
        self.metrics = metrics
        self._open: dict[tuple[Served, int], Batch] = {}

    async def probabilities(
        self,
        served: Served,
        task: ServedTask,
        inputs: npt.NDArray[Any],
        deadline: float,
        receive: Receive,
    ) -> tuple[Probabilities, float]:
        """As `Served.probabilities`, and the seconds waited.

        Raises:
            DeadlinePassed: the deadline was before the window's end.
            ClientDisconnect: nobody waits for the answer any more.
        """
        since = monotonic()
        loop = asyncio.get_running_loop()
        key = served, task.head
        batch = self._open.get(key)
        if batch is not None and batch.rows + len(inputs) > MAX_ROWS:
            self._close(key, batch)
            batch = None
        if batch is None:
            batch = self._open[key] = Batch(served, task)
            loop.call_later(self.window_seconds, self._close, key, batch)
        result: asyncio.Future[Probabilities] = loop.create_future()
        batch.add(Waiting(inputs, receive, result))
        if batch.rows >= MAX_ROWS:
            self._close(key, batch)
        probabilities_BC = await kept(deadline, result)
        return probabilities_BC, batch.began - since

    def _close(self, key: tuple[Served, int], batch: Batch) -> None:
        if self._open.get(key) is batch:
            del self._open[key]
            self.metrics.batches += batch.compute()
