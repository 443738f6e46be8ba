"""Killed anywhere, and started again, the learner learns the same bits: the short form of
`make crash-test`. And a batch that kills is passed over, while deaths at random never look so."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from services.in_flight import DEATHS
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.checkpoints.store import CheckpointStore
from si_stream.state import Quarantined, State
from tests.crashes.course import Course
from tests.crashes.harness import (
    Found,
    Run,
    differences,
    forking,
    killed_at_random,
    saved_after_step,
    unlike,
)
from tests.crashes.points import Point
from tests.crashes.varieties import PLAIN, VARIETIES, Variety, broker_of, checkpointed
from tests.streams import SMALL, STREAM, contents, learn

SHORT = [variety._replace(samples=variety.samples // 3) for variety in VARIETIES[:4]]
SHORT.append(next(variety for variety in VARIETIES if variety.silent))
TINY = VARIETIES[0]._replace(
    name="tiny",
    groups={"checkpoints": checkpointed(0.01, 1, 0), "compute": PLAIN},
    samples=2400,
)
SELDOM = TINY._replace(name="tiny, seldom saved", groups={"compute": PLAIN})
BEFORE_POISON, POISON = 900, 1005  # the numbers of two samples of the second task
KILLS_EACH = 5
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.05

Start = Callable[..., Run]
Whole = Callable[[Variety], tuple[Found, Course]]


@pytest.fixture(scope="module")
def children() -> Iterator[subprocess.Popen[str]]:
    with forking() as process:
        yield process


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Variety], Path]:
    """A variety's stream, written once."""
    base = tmp_path_factory.mktemp("streams")

    def stream(variety: Variety) -> Path:
        directory = base / variety.name.replace(" ", "-")
        if not directory.exists():
            variety.fill(directory)
        return directory

    return stream


@pytest.fixture
def start(
    children: subprocess.Popen[str], streams: Callable[[Variety], Path], tmp_path: Path
) -> Start:
    numbers = count()

    def begun(variety: Variety, course: Course | None = None) -> Run:
        directory = tmp_path / f"run-{next(numbers)}"
        pause = 0.02
        stream = streams(variety)
        return Run(variety, stream, directory, children, course=course, first_pause_seconds=pause)

    return begun


@pytest.fixture(scope="module")
def whole(
    children: subprocess.Popen[str],
    streams: Callable[[Variety], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Whole:
    """What a run without a stop has learned, and by which states; once for each variety."""
    known: dict[str, tuple[Found, Course]] = {}

    def of(variety: Variety) -> tuple[Found, Course]:
        if variety.name not in known:
            directory = tmp_path_factory.mktemp("whole") / "run"
            run = Run(variety, streams(variety), directory, children)
            assert run.live() is None
            known[variety.name] = run.found(), Course(streams(variety), run.settings)
        return known[variety.name]

    return of


def assert_ends_as(run: Run, whole: Found) -> None:
    assert run.live() is None
    found = run.found()
    assert differences(found, whole) == {}
    assert run.astray == []
    assert (found.quarantined, run.refused) == (0, 0)


@pytest.mark.parametrize("variety", SHORT, ids=lambda variety: variety.name)
def test_killed_at_random_it_learns_the_same_bits(
    variety: Variety, start: Start, whole: Whole
) -> None:
    unstopped, course = whole(variety)
    fresh = 1 if variety in SHORT[:2] else 0
    random = Random(variety.name)

    def begin(_: int) -> Run:
        return start(variety, course)

    killed = killed_at_random(begin, KILLS_EACH, unstopped.steps, random, fresh)
    assert len(killed.deaths) == KILLS_EACH
    assert sum(death.fresh for death in killed.deaths) == fresh
    assert any(death.progress for death in killed.deaths)
    assert killed.compared > 0
    assert unlike(killed, unstopped) == []
    assert [found.quarantined for found in killed.founds] == [0] * len(killed.runs)
    assert killed.refused == 0


@pytest.mark.parametrize("point", [point for point in Point if point is not Point.IN_PAUSE])
def test_killed_at_a_named_point_it_learns_the_same_bits(
    point: Point, start: Start, whole: Whole
) -> None:
    unstopped, course = whole(TINY)
    run = start(TINY, course)
    if point is not Point.BEFORE_FIRST_CHECKPOINT:
        assert run.live(saved_after_step(unstopped.steps // 5))
    death = run.live(dies_at=point)
    assert death
    assert death.at_point
    if point is Point.BEFORE_FIRST_CHECKPOINT:
        assert CheckpointStore(run.directory).newest() is None
    assert_ends_as(run, unstopped)


def test_a_batch_that_kills_is_passed_over_after_five_deaths(
    start: Start, tmp_path: Path, streams: Callable[[Variety], Path]
) -> None:
    run = start(TINY)
    for _ in range(DEATHS):
        death = run.live(poison=[POISON])
        assert death
        assert death.phase == "in a step"
    assert run.live(poison=[POISON]) is None
    found = run.found()
    entry = quarantined(run)
    assert (entry.task, entry.samples) == ("b", SMALL["batch_size"])
    assert entry.position != entry.behind
    assert found.contents == without(entry.place, run, streams(TINY), tmp_path / "without")
    assert len(journal(run, "BatchQuarantined")) == 1
    assert "died 4 times while it learned the next batch" in (run.directory / "log.txt").read_text()


def test_two_batches_that_kill_are_passed_over_though_no_checkpoint_lies_between_them(
    start: Start,
) -> None:
    run = start(SELDOM)
    for _ in range(2 * DEATHS):
        assert run.live(poison=[BEFORE_POISON, POISON])
    assert run.live(poison=[BEFORE_POISON, POISON]) is None
    assert run.found().quarantined == 2


def test_a_batch_passed_over_is_counted(start: Start) -> None:
    run = start(TINY)
    for _ in range(DEATHS):
        run.live(poison=[POISON])
    learner = run.settings.learner.model_copy(update={"exit_at_end": False})
    child = Child("learner", settings=run.settings.model_copy(update={"learner": learner}))
    try:
        wait_for_metric(child, "si_stream_quarantined_batches_total", 1.0)
    finally:
        child.kill()
        child.wait()


def test_deaths_of_a_batch_with_one_elsewhere_among_them_are_no_poison(
    start: Start, whole: Whole
) -> None:
    run = start(SELDOM)  # each life comes by the batches before that one again
    for elsewhere in (Point.CHECKPOINT_READ, Point.AFTER_POLL):
        for _ in range(DEATHS - 1):
            assert run.live(poison=[POISON])
        death = run.live(dies_at=elsewhere)
        assert death
        assert death.at_point
    for sample in [POISON] * (DEATHS - 1) + [BEFORE_POISON] + [POISON] * (DEATHS - 1):
        assert run.live(poison=[sample])
    assert_ends_as(run, whole(SELDOM)[0])


def test_deaths_in_the_pause_before_a_suspect_batch_are_no_poison(
    start: Start, whole: Whole
) -> None:
    run = start(TINY)
    for _ in range(DEATHS):
        assert run.live(poison=[POISON])
        death = run.live(dies_at=Point.IN_PAUSE)
        assert death
        assert death.at_point
    assert_ends_as(run, whole(TINY)[0])


def quarantined(run: Run) -> Quarantined:
    checkpoint = CheckpointStore(run.directory).newest()
    assert checkpoint
    (entry,) = checkpoint.manifest.ledger.quarantined
    return entry


def without(place: int, run: Run, stream: Path, directory: Path) -> dict[str, str]:
    """What the bare loop learns of a stream, but for the batch at a place."""
    shutil.copytree(stream, directory)
    with EmbeddedBroker(broker_of(directory)) as broker:
        state = State(run.settings, broker.stream_id(STREAM))
        state.ledger.quarantined.append(Quarantined(place=place))
        _, host = learn(broker, run.settings, state=state)
    state.ledger.dead_letters = len(host.faults)
    return contents(state)


def journal(run: Run, event: str) -> list[dict[str, object]]:
    lines = (run.directory / "events.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def wait_for_metric(child: Child, name: str, value: float) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        assert child.code is None, list(child.last_lines)
        assert time.monotonic() < deadline, name
        if child.address is not None:
            with urllib.request.urlopen(child.address, timeout=LIMIT_SECONDS) as answer:
                if f"{name} {value}" in answer.read().decode().splitlines():
                    return
        time.sleep(LOOK_SECONDS)
