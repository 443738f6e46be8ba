"""Work for jobs, in a module of its own so that their processes can find it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from si_stream.errors import SettingsError
from simulators.reproductions.jobs import Job, Stop, Stopped, Tell, Watcher, run_jobs
from simulators.stopping import caught_signals


@dataclass(frozen=True)
class Writing:
    """Leaves a file, with the id of its process."""

    path: Path

    def __call__(self, progress: Tell, stop: Stop) -> str:
        self.path.write_text(str(os.getpid()))
        return f"wrote {self.path.name}"


@dataclass(frozen=True)
class Waiting:
    """Leaves a file and goes on until it is asked to stop."""

    path: Path

    def __call__(self, progress: Tell, stop: Stop) -> str:
        self.path.touch()
        while not stop():
            progress(0.5)
            time.sleep(0.01)
        raise Stopped


@dataclass(frozen=True)
class Keeping:
    """Says in a file who it is, and then, when it is asked to stop, takes its time to say so."""

    path: Path

    def __call__(self, progress: Tell, stop: Stop) -> str:
        self.path.write_text(f"{os.getpid()} works")
        while not stop():
            time.sleep(0.01)
        time.sleep(0.5)
        self.path.write_text(f"{os.getpid()} has stopped")
        raise Stopped


class Unseen(Watcher):
    def going(self, job: Job, share: float) -> None:
        pass

    def done(self, job: Job, line: str) -> None:
        pass


def keep_at_it(directory: Path) -> None:
    """Two processes at work; one of them has nothing to do."""
    jobs = [Job(name, 1.0, Keeping(directory / name)) for name in ("a", "b")]
    with caught_signals() as caught:
        finished = run_jobs(
            [*jobs, Job("c", 1.0, Writing(directory / "c"))], 3, Unseen(), lambda: bool(caught)
        )
    print("finished" if finished else "stopped")


class Failing:
    def __call__(self, progress: Tell, stop: Stop) -> str:
        raise SettingsError("no good: mend it")


class Dying:
    def __call__(self, progress: Tell, stop: Stop) -> str:
        os._exit(1)
