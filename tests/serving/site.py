"""A learner and the predictors that follow it by its address, and what an operator does to them.

Invariant: what is noted of an outage contains the whole of it, and no process outlives the block.
"""

from __future__ import annotations

import http.client
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from deploy.local_process import free_ports
from services.processes import Child, environment_of
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SnapshotStore, read
from si_stream.checkpoints.store import CheckpointStore, label
from si_stream.errors import CorruptCheckpoint
from si_stream.learning.presets import PRESETS
from si_stream.settings import Settings
from tests.serving.verdict import Outage, Publication

LIMIT_SECONDS = 120.0
LOOK_SECONDS = 0.02
SMALLER_THAN_A_SNAPSHOT_BYTES = 1024
MODEL = "serving"


class Site:
    """Args:
    directory: with one for the learner and one for each predictor.
    broker: URL of the stream, which is not in the learner's directory, as that will be full.
    """

    def __init__(self, directory: Path, broker: str, predictors: int) -> None:
        self.learner_port, *self.ports = free_ports(1 + predictors)
        self.learner_settings = chosen(
            directory / "learner",
            stream={"broker": broker, "retention": "all"},  # to go back to any checkpoint
            learner={"metrics_port": self.learner_port},
        )
        self.predictor_settings = [
            chosen(
                directory / f"predictor-{number}",
                predictor={"source": f"http://127.0.0.1:{self.learner_port}", "port": port},
            )
            for number, port in enumerate(self.ports)
        ]
        self.learner: Child | None = None
        self.predictors: list[Child] = []
        self.learner_outages: list[Outage] = []
        self.predictor_outages: dict[int, list[Outage]] = {n: [] for n in range(predictors)}
        self.publications: dict[Path, Publication] = {}
        self.disk_seconds: list[float] = []
        self._watched = Event()
        self._watching = [
            Thread(target=self._watch, name="publications"),
            Thread(target=self._measure_disk, name="disk"),
        ]

    def start(self) -> None:
        for thread in self._watching:
            thread.start()
        self.learner = Child("learner", settings=self.learner_settings)
        self.predictors = [self._predictor(number) for number in range(len(self.ports))]

    def all_have_come(self) -> None:
        """What was published before they came was not theirs to serve."""
        for outages in self.predictor_outages.values():
            outages.append(Outage(0.0, time.time()))

    def close(self) -> None:
        self._watched.set()
        for child in (self.learner, *self.predictors):
            if child is not None:
                child.kill()
                child.wait()
        for thread in self._watching:
            if thread.ident is not None:
                thread.join()

    def kill_learner(self) -> None:
        """And start it again at once, as an orchestrator does."""
        assert self.learner is not None
        began = time.time()
        self.learner.kill()
        assert self.learner.wait() == -signal.SIGKILL
        self._start_learner_again(began)

    def kill_predictor(self, number: int) -> None:
        began = time.time()
        self.predictors[number].kill()
        assert self.predictors[number].wait() == -signal.SIGKILL
        dead = time.time()
        self.predictors[number] = self._predictor(number)
        wait_for(lambda: answers(self.ports[number], "/healthz/ready"), "a predictor's return")
        self.predictor_outages[number].append(Outage(began, time.time(), dead))

    def _predictor(self, number: int) -> Child:
        def heed(_: str, line: str) -> None:
            if "WARNING" in line or "ERROR" in line:
                print(f"predictor {number}: {line}", file=sys.stderr, flush=True)

        return Child("predictor", settings=self.predictor_settings[number], heed=heed)

    def roll_back(self) -> None:
        """To the last boundary; the learner ends by itself, and is started again."""
        began, settings = time.time(), self.learner_settings
        store = CheckpointStore(settings.directory)
        kept = (path for path in store.newest_first() if store.manifest(path).at_boundary)
        command = [sys.executable, "-P", "-m", "services", "rollback", "--to", label(next(kept))]
        ended = subprocess.run(
            command, env=environment_of(settings), check=False, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
        assert self.learner is not None
        assert self.learner.wait() != 0
        self._start_learner_again(began)

    def _start_learner_again(self, began: float) -> None:
        self.learner = Child("learner", settings=self.learner_settings)
        wait_for(lambda: answers(self.learner_port, "/snapshots/newest"), "the learner's return")
        self.learner_outages.append(Outage(began, time.time()))

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Nothing more goes onto the learner's disk; where it shares it with others, no file of its
        grows beyond a size that any snapshot has, as on a full disk."""
        directory = self.learner_settings.directory
        if directory.is_mount():
            filler = directory / "filler"
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(2**16))
            try:
                yield
            finally:
                filler.unlink()
            return
        assert self.learner is not None
        process = self.learner._process.pid
        before = resource.prlimit(process, resource.RLIMIT_FSIZE)
        limit = (SMALLER_THAN_A_SNAPSHOT_BYTES, before[1])
        resource.prlimit(process, resource.RLIMIT_FSIZE, limit)
        try:
            yield
        finally:
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)

    def _measure_disk(self) -> None:
        """How long a disk takes to hold a file, which a predictor waits for before it serves it."""
        path = self.predictor_settings[0].directory.with_name("measured")
        while not self._watched.wait(0.2):
            path.write_bytes(bytes(2**18))
            began = time.monotonic()
            files.sync(path)
            self.disk_seconds.append(time.monotonic() - began)

    def _watch(self) -> None:
        """Note each snapshot, and when it was given its name."""
        store = SnapshotStore(self.learner_settings.directory)
        while not self._watched.wait(LOOK_SECONDS):
            for path in store.newest_first():
                if path in self.publications:
                    break
                with suppress(CorruptCheckpoint, FileNotFoundError):  # removed just now
                    at = path.stat().st_ctime
                    version = read(path).manifest.version
                    self.publications[path] = Publication((version.epoch, version.step), at)


def chosen(directory: Path, **groups: dict[str, Any]) -> Settings:
    values: dict[str, Any] = {
        **PRESETS["split-digits"],
        "compute": {"device": "cpu"},
        # Many are kept, so that each is seen by who notes them.
        "snapshots": {"interval_seconds": 1, "keep": 20},
        "checkpoints": {"interval_seconds": 1, "keep_at_boundaries": 20},
        **groups,
    }
    values["model"] = values["model"] | {"name": MODEL}
    return Settings.model_validate({"directory": directory, **values})


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("HEAD" if path.startswith("/snapshots") else "GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(LOOK_SECONDS)
