"""Learners killed again and again until one of them ends, and what is left compared.

Invariant: what a run of many lives has learned, and the dead letters it has written, are those of
one that was never stopped; no checkpoint that a death leaves behind is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.checkpoints.store import CheckpointStore
from si_stream.dead_letters import read_letters
from tests.crashes.course import Course, differing_names
from tests.crashes.lives import Order
from tests.crashes.points import Point
from tests.crashes.trace import Slot, Trace
from tests.crashes.varieties import Variety, broker_of
from tests.streams import STREAM, contents, loaded

ROOT = Path(__file__).parents[2]
LOOK_SECONDS = 0.0005
LIMIT_SECONDS = 120.0
LIVES = "tests.crashes.lives"

When = Callable[[Trace], bool]


class Failed(Exception):
    """A learner that nobody killed did not come to its end, for the reason in its log."""


class Process(Protocol):
    pid: int

    def ended(self) -> bool: ...

    def wait(self) -> int:
        """How it ended, below 0 by a signal."""


class Fresh:
    """A process of its own, with all that a start takes."""

    def __init__(self, order: Order) -> None:
        self._process = python("-m", LIVES, order.model_dump_json(), talks=False)
        self.pid = self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        return self._process.wait(LIMIT_SECONDS)


class Forked:
    """A child of the process that forks, which has loaded torch already."""

    def __init__(self, forking: subprocess.Popen[str], order: Order) -> None:
        assert forking.stdin is not None
        assert forking.stdout is not None
        self._answers = forking.stdout
        forking.stdin.write(order.model_dump_json() + "\n")
        forking.stdin.flush()
        self.pid = int(self._answers.readline())

    def ended(self) -> bool:
        return bool(select.select([self._answers], [], [], 0)[0])

    def wait(self) -> int:
        return int(self._answers.readline())


def python(*arguments: str, talks: bool) -> subprocess.Popen[str]:
    """A Python process that finds this tree, with no threads from its libraries.

    Args:
        talks: whether it reads from us and answers.
    """
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SI_STREAM_")},
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    ends = subprocess.PIPE if talks else subprocess.DEVNULL
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=environment, stdin=ends, stdout=ends, text=True, cwd=ROOT)


@contextmanager
def forking() -> Iterator[subprocess.Popen[str]]:
    """The process that forks; it ends with the block."""
    process = python("-m", LIVES, talks=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(LIMIT_SECONDS)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


class Death(NamedTuple):
    """How a life ended, by SIGKILL."""

    phase: str
    writing: bool
    pruning: bool
    progress: bool
    """Whether it had trained a step that none before it had."""
    steps: int
    fresh: bool
    at_point: bool


class Found(NamedTuple):
    """What a run has left when it ended."""

    contents: dict[str, str]
    letters: list[str]
    """The ids of its dead letters."""
    steps: int
    quarantined: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self[:2], sort_keys=True).encode()).hexdigest()


class Run:
    """The lives of one learner, in a directory of its own with a copy of the stream.

    Args:
        stream: a directory that was filled by the variety; it is copied.
        course: that the checkpoint which a death leaves behind is to lie on.
        first_pause_seconds: before a suspect batch, other than the service's own.
    """

    def __init__(
        self,
        variety: Variety,
        stream: Path,
        directory: Path,
        forking: subprocess.Popen[str],
        *,
        course: Course | None = None,
        first_pause_seconds: float | None = None,
    ) -> None:
        self.settings = variety.settings(directory)
        self.directory = directory
        self.deaths: list[Death] = []
        self.refused = 0
        self.compared = 0
        self.astray: list[dict[str, Any]] = []
        """Of checkpoints that deaths left behind, what is not as in the course."""
        self._course = course
        self._forking = forking
        self._pause = first_pause_seconds
        self._lives = 0
        shutil.copytree(stream, directory)

    @property
    def steps(self) -> int:
        """The most that any life has come to."""
        return max((death.steps for death in self.deaths), default=0)

    def live(
        self,
        until: When | None = None,
        *,
        fresh: bool = False,
        dies_at: Point | None = None,
        occurrence: int = 1,
        poison: Collection[int] = (),
        delay_seconds: float = 0.0,
    ) -> Death | None:
        """One life; None when it has ended by itself, having learned all.

        Args:
            until: whether to kill it now, ``delay_seconds`` later.

        Raises:
            Failed: it ended otherwise, or came to no end.
        """
        self._lives += 1
        order = Order(
            settings=self.settings.model_dump(mode="json"),
            trace=self.directory / f"trace-{self._lives}",
            log=self.directory / "log.txt",
            dies_at=dies_at,
            occurrence=occurrence,
            poison=list(poison),
            first_pause_seconds=self._pause,
        )
        trace = Trace(order.trace)
        process: Process = Fresh(order) if fresh else Forked(self._forking, order)
        deadline = time.monotonic() + LIMIT_SECONDS
        while not process.ended():
            if time.monotonic() > deadline or (until is not None and until(trace)):
                time.sleep(delay_seconds)
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(LOOK_SECONDS)
        code = process.wait()
        if code == 0:
            return None
        if code != -signal.SIGKILL or time.monotonic() > deadline:
            lines = order.log.read_text().splitlines()[-20:]
            raise Failed("\n".join([f"a learner ended with {code}", *lines]))
        return self._died(trace, fresh=fresh)

    def _died(self, trace: Trace, *, fresh: bool) -> Death:
        death = Death(
            phase=trace.phase(),
            writing=bool(trace[Slot.WRITING]),
            pruning=bool(trace[Slot.PRUNING]),
            progress=trace[Slot.STEPS] > self.steps,
            steps=trace[Slot.STEPS],
            fresh=fresh,
            at_point=bool(trace[Slot.POINTS]),
        )
        self.deaths.append(death)
        store = CheckpointStore(self.directory)
        newest = store.newest()
        self.refused += store.refused
        if self._course is not None and newest is not None:
            self.compared += 1
            path = next(store.newest_first())
            astray = self._course.differences(loaded(store, path, self.settings))
            self.astray += [astray] if astray else []
        return death

    def found(self) -> Found:
        """What is there now that it has ended."""
        store = CheckpointStore(self.directory)
        state = loaded(store, next(store.newest_first()), self.settings)
        with EmbeddedBroker(broker_of(self.directory)) as broker:
            letters = sorted(letter.letter_id for _, letter in read_letters(broker, STREAM))
        ledger = state.ledger
        return Found(contents(state), letters, ledger.steps, len(ledger.quarantined))


class Killed(NamedTuple):
    """Runs of one variety that were killed at random, each then left to come to its end."""

    runs: list[Run]
    founds: list[Found]

    @property
    def deaths(self) -> list[Death]:
        return [death for run in self.runs for death in run.deaths]

    @property
    def compared(self) -> int:
        return sum(run.compared for run in self.runs)

    @property
    def refused(self) -> int:
        return sum(run.refused for run in self.runs)


def killed_at_random(
    start: Callable[[int], Run], kills: int, steps: int, random: Random, fresh: int = 0
) -> Killed:
    """Kill so many lives, in one run unless a life comes to its end before it is killed.

    Args:
        start: makes a run, given its number.
        steps: of a whole run.
        fresh: how many of these lives are processes of their own.
    """
    killed = Killed([], [])
    while (left := kills - len(killed.deaths)) > 0:
        run = start(len(killed.runs))
        killed.runs.append(run)
        kill(run, left, steps, random, fresh - sum(death.fresh for death in killed.deaths))
        killed.founds.append(run.found())
    return killed


def kill(run: Run, kills: int, steps: int, random: Random, fresh: int) -> None:
    """Kill so many lives: most after a step that none before has trained, some of these while a
    checkpoint is written, and some after a while, wherever they are then. Let the last one be."""
    targets = sorted(random.randrange(1, steps) for _ in range(kills))
    afresh = set(random.sample(range(kills), fresh))
    for number, target in enumerate(targets):
        step = max(target, run.steps + 1)
        until = random.choices(
            [
                after_step(step),
                while_writing(step),
                after_seconds(random.uniform(0, random.choice((0.1, 0.5)))),
            ],
            [0.6, 0.2, 0.2],
        )[0]
        delay = random.uniform(0, 0.003)
        if run.live(until, fresh=number in afresh, delay_seconds=delay) is None:
            return
    if run.live() is not None:
        raise Failed("somebody else killed it")


def after_step(step: int) -> When:
    return lambda trace: trace[Slot.STEPS] >= step


def saved_after_step(step: int) -> When:
    """After the step, and after a checkpoint of this life."""
    return lambda trace: trace[Slot.STEPS] >= step and trace[Slot.COMMITS] > 0


def while_writing(step: int) -> When:
    return lambda trace: trace[Slot.STEPS] >= step and bool(trace[Slot.WRITING])


def after_seconds(seconds: float) -> When:
    """So long after it has begun, less what Python takes to load."""
    begun: list[float] = []

    def until(trace: Trace) -> bool:
        if not begun and trace[Slot.BEGUN]:
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] >= seconds

    return until


def differences(run: Found, whole: Found) -> dict[str, Any]:
    """By name what a run has left that is not what one without a stop has."""
    differing = differing_names(run.contents, whole.contents)
    if run.letters != whole.letters:
        differing["dead letters"] = (str(len(run.letters)), str(len(whole.letters)))
    return differing


def unlike(killed: Killed, whole: Found) -> list[dict[str, Any]]:
    """The `differences` of each run and of each checkpoint left behind that has some."""
    found = (differences(run, whole) for run in killed.founds)
    astray = (one for run in killed.runs for one in run.astray)
    return [differing for differing in (*found, *astray) if differing]
