"""Predictions: from a request let in to its reply, whatever form it has.

Invariant: one snapshot, taken before the body is read, answers the whole request. A small body is
answered within the event loop, where a thread would cost more than the answer; a larger one in
the one worker thread, so that small ones need not wait for it. Of the large ones one is computed
at a time, of the small ones some milliseconds' worth, and then the event loop looks at its sockets:
so whoever is too many is refused at once, and health and metrics are answered however many wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic, perf_counter
from typing import NamedTuple

import torch
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from services.predictor.admission import Admission
from services.predictor.batches import Batches
from services.predictor.body import read_body
from services.predictor.deadlines import deadline_of, passed
from services.predictor.follower import Follower
from services.predictor.messages import is_gone
from services.predictor.metrics import Metrics
from services.predictor.question import Form, Question, Reply
from services.predictor.served import Chosen, Named, Served, Way
from services.predictor.turns import Turns
from si_stream.errors import RequestError
from si_stream.settings import PredictorOptions

INLINE_BYTES = 16 * 1024


class Answered(NamedTuple):
    question: Question
    answer: Named | Chosen
    reply: Reply

    def counted(self) -> tuple[Mapping[str, int], Way | None]:
        """Inputs by task, and how the tasks were chosen where none was named."""
        if isinstance(self.answer, Named):
            return {self.answer.task.name: len(self.question.inputs)}, self.question.choose
        return Counter(task.name for task in self.answer.tasks), "portrait"


class Job(NamedTuple):
    """A request whose body has been read."""

    read: Callable[[], Question]
    served: Served
    entered: float
    deadline: float
    receive: Receive

    def until(self, question: Question) -> float:
        """The deadline, once what the body says of it is known."""
        return min(self.deadline, self.entered + question.timeout_seconds)

    def compute(self) -> Answered:
        question = self.read()
        if monotonic() > self.until(question):
            raise passed()
        answer = self.served.answer(question.inputs, question.task)
        return Answered(question, answer, question.write(answer))


class Prediction:
    def __init__(
        self, options: PredictorOptions, follower: Follower, admission: Admission, metrics: Metrics
    ) -> None:
        self.options = options
        self.follower = follower
        self.admission = admission
        self.metrics = metrics
        self._batches = Batches(options.batch_window_seconds, metrics)
        self._turns = Turns()
        self._worker_free = asyncio.Lock()
        self._worker = ThreadPoolExecutor(
            1, "prediction", initializer=torch.set_num_threads, initargs=(options.threads,)
        )

    async def reply(self, form: Form, scope: Scope, receive: Receive) -> Reply:
        """Raises RequestError, and ClientDisconnect where nobody waits for it any more."""
        try:
            self.admission.check_open()
            served = self.follower.current()
            self.admission.enter()
        except RequestError as error:
            self.metrics.rejected(error)
            raise
        try:
            entered = monotonic()
            headers = dict(scope["headers"])
            deadline = deadline_of(headers, self.options.deadline_seconds)
            read = form(self.options, scope, headers)
            content = await read_body(
                scope, headers, receive, self.options.max_body_bytes, deadline
            )
            started = perf_counter()
            job = Job(partial(read, served, content), served, entered, deadline, receive)
            if len(content) > INLINE_BYTES:
                answered = await self._in_the_worker(job)
            elif self.options.batch_window_seconds:
                answered = await self._in_a_batch(job)
            else:
                answered = await self._within_the_loop(job)
        except (RequestError, ClientDisconnect) as error:
            self.metrics.rejected(error)
            raise
        finally:
            self.admission.leave()
        self.metrics.predicted(*answered.counted(), perf_counter() - started)
        return answered.reply

    async def _within_the_loop(self, job: Job) -> Answered:
        self.metrics.waited(await self._turns.taken(job.deadline, job.receive))
        started = perf_counter()
        try:
            return job.compute()
        finally:
            self._turns.spent(perf_counter() - started)

    async def _in_the_worker(self, job: Job) -> Answered:
        since = monotonic()
        try:
            async with asyncio.timeout(job.deadline - since):
                await self._worker_free.acquire()
        except TimeoutError:
            raise passed() from None
        try:
            if is_gone(job.receive):
                raise ClientDisconnect
            self.metrics.waited(monotonic() - since)
            return await asyncio.get_running_loop().run_in_executor(self._worker, job.compute)
        finally:
            self._worker_free.release()

    async def _in_a_batch(self, job: Job) -> Answered:
        question = job.read()
        if question.task is None:
            return await self._within_the_loop(job._replace(read=lambda: question))
        probabilities_BC, waited = await self._batches.probabilities(
            job.served, question.task, question.inputs, job.until(question), job.receive
        )
        self.metrics.waited(waited)
        answer = Named(question.task, probabilities_BC)
        return Answered(question, answer, question.write(answer))

    def close(self) -> None:
        self._worker.shutdown()
