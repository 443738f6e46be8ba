"""Work beside learning: jobs in order, on a thread of their own.

Invariant: a job that fails is told of to whoever starts the next one or asks, never lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

Job = Callable[[], None]
CLOSE_SECONDS = 2.0


class Background:
    """Args:
    name: of the thread, which does not keep the process from ending.
    limit: jobs that may run or wait; one more is waited with.
    """

    def __init__(self, name: str, limit: int = 1) -> None:
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Raises whatever a job has raised."""
        with self._changed:
            self._raise()
            return not self._jobs

    def wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._jobs) < self._limit)

    def start(self, job: Job) -> None:
        """Have it done, once those before it are. Raises whatever one of them has raised."""
        self.wait_for_room()
        with self._changed:
            self._raise()
            self._jobs.append(job)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether all was done in time. Raises whatever a job has raised."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._jobs, seconds)
            self._raise()
            return done

    def close(self) -> None:
        """No other job is begun, and the one that runs is waited for a little: a thread that is
        in C++ when the interpreter ends takes the process down with it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                job = self._jobs[0]
            try:
                job()
            except BaseException as failure:  # noqa: BLE001 - raised where it is heard
                self._failure = failure
            with self._changed:
                self._jobs.popleft()
                self._changed.notify_all()
