"""Work for jobs, in a module of its own so that their processes can find it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from si_stream.errors import SettingsError
from simulators.reproductions.jobs import Stop, Stopped, Tell


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


class Failing:
    def __call__(self, progress: Tell, stop: Stop) -> str:
        raise SettingsError("no good: mend it")


class Dying:
    def __call__(self, progress: Tell, stop: Stop) -> str:
        os._exit(1)
