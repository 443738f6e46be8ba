"""Jobs: the runs that have no record yet, done by processes of their own.

Invariant: a run that is done has its record, whatever becomes of the others; and a process that
works ends when its command does, or is told to, once the run at hand has kept itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty
from threading import Lock, Thread
from time import monotonic
from types import FrameType
from typing import ClassVar, Protocol

from si_stream.errors import ProcessEnded
from si_stream.learning.huge_pages import ask_for_huge_pages

LOOK_SECONDS = 0.2
TELL_SECONDS = 0.5

Tell = Callable[[float], None]
Stop = Callable[[], bool]


class Stopped(Exception):
    """Somebody asked a run to stop, and it has kept what it goes on from, if it does."""


class Work(Protocol):
    """A run: does all and writes its record. It goes to another process, so it is plain values."""

    def __call__(self, progress: Tell, stop: Stop) -> str:
        """A line about what came out.

        Args:
            progress: to be told now and then which share is done.
            stop: to be asked now and then.

        Raises:
            Stopped: as it was asked for.
        """


@dataclass(frozen=True)
class Job:
    """Args:
    seconds: that it takes, roughly; for the time left.
    after: the name of another job that has to be done before.
    done: the share of it that it finds done, roughly; for the time left.
    is_run: whether it leaves a record; else it is what runs have in common.
    """

    name: str
    seconds: float
    work: Work
    after: str = ""
    done: float = 0.0
    is_run: bool = True


class Watcher(Protocol):
    """Is told how the jobs go."""

    def going(self, job: Job, share: float) -> None: ...

    def done(self, job: Job, line: str) -> None: ...


def run_jobs(
    jobs: Sequence[Job], processes: int, watcher: Watcher, stop: Stop = lambda: False
) -> bool:
    """Do them, ``processes`` at a time; False where it was stopped before all were done.

    Raises:
        ProcessEnded: a process has died. Other errors are those of the work. What runs beside it
            is stopped.
    """
    spawn = multiprocessing.get_context("spawn")
    told: Queue[tuple[int, float]] = spawn.Queue()
    stopping = spawn.Event()
    executor = ProcessPoolExecutor(processes, spawn, _Here.begin, (told, stopping))
    futures: dict[Future[str], Job] = {}

    def begin(after: str) -> set[Future[str]]:
        with _ctrl_c_ignored():  # and so do they that are started here: they are told to stop
            begun = {
                executor.submit(_do, number, job.work): job
                for number, job in enumerate(jobs)
                if job.after == after
            }
        futures.update(begun)
        return set(begun)

    try:
        left = begin("")
        while left and not stop():
            ended, left = wait(left, LOOK_SECONDS, FIRST_COMPLETED)
            for number, share in _all_of(told):
                watcher.going(jobs[number], share)
            for future in ended:
                if stop() and isinstance(future.exception(), BrokenProcessPool | Stopped):
                    return False  # it was told to end when this process was
                watcher.done(futures[future], _result(future, futures[future]))
                left |= begin(futures[future].name)
        return not left
    finally:
        stopping.set()
        executor.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[str], job: Job) -> str:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise ProcessEnded(
            f"a process ended in the middle of {job.name} or beside it, perhaps for want of "
            "memory: ask for fewer --processes; what is done is recorded"
        ) from error
    except Stopped as error:
        raise ProcessEnded(
            f"the process of {job.name} was told to end; start the same command again"
        ) from error


def _do(number: int, work: Work) -> str:
    last = monotonic()

    def tell(share: float) -> None:
        nonlocal last
        if monotonic() - last >= TELL_SECONDS:
            last = monotonic()
            _Here.told.put((number, share))

    with _Here.at_work:
        return work(tell, _Here.is_to_stop)


class _Here:
    """A process that works: what it has been given, and when it ends."""

    told: ClassVar[Queue[tuple[int, float]]]
    stopping: ClassVar[Event]
    at_work: ClassVar[Lock] = Lock()
    leaving: ClassVar[bool] = False

    @classmethod
    def begin(cls, told: Queue[tuple[int, float]], stopping: Event) -> None:
        cls.told, cls.stopping = told, stopping
        signal.signal(signal.SIGTERM, cls._on_signal)
        Thread(target=cls._leave_in_time, daemon=True).start()
        ask_for_huge_pages()

    @classmethod
    def is_to_stop(cls) -> bool:
        return cls.leaving or cls.stopping.is_set()

    @classmethod
    def _on_signal(cls, _number: int, _frame: FrameType | None) -> None:
        cls.leaving = True

    @classmethod
    def _leave_in_time(cls) -> None:
        """When the command has gone, were it killed, or somebody says so: the run at hand stops,
        and keeps itself."""
        command = multiprocessing.parent_process()
        assert command is not None
        while not cls.leaving and not wait_for([command.sentinel], LOOK_SECONDS):
            pass
        cls.leaving = True
        with cls.at_work:
            os._exit(1)


def _all_of(told: Queue[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    while True:
        try:
            yield told.get_nowait()
        except Empty:
            return


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """A signal that is ignored stays so in processes that are started meanwhile."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
