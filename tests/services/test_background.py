"""Work beside learning: in order, bounded, and no failure is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from services import background as background_module
from services.background import Background, Job

LIMIT_SECONDS = 30


def waiting_for(gate: Event) -> Job:
    def job() -> None:
        gate.wait(LIMIT_SECONDS)

    return job


def test_jobs_are_done_in_order_on_another_thread() -> None:
    background = Background("tests", limit=3)
    done: list[int] = []
    for number in range(20):
        background.start(partial(done.append, number))
    assert background.wait(LIMIT_SECONDS)
    assert done == [*range(20)]
    assert background.is_idle


def test_it_is_busy_until_the_job_has_ended() -> None:
    background, gate = Background("tests"), Event()
    background.start(waiting_for(gate))
    assert not background.is_idle
    assert not background.wait(0.01)
    gate.set()
    assert background.wait(LIMIT_SECONDS)


@pytest.mark.parametrize("ask", ["is_idle", "wait", "start"])
def test_what_a_job_raised_is_raised_once_to_who_asks_next(ask: str) -> None:
    background = Background("tests")

    def fail() -> None:
        raise ValueError("of the job")

    background.start(fail)
    background.wait_for_room()
    asking: dict[str, Callable[[], object]] = {
        "is_idle": lambda: background.is_idle,
        "wait": lambda: background.wait(LIMIT_SECONDS),
        "start": lambda: background.start(fail),
    }
    with pytest.raises(ValueError, match="of the job"):
        asking[ask]()
    assert background.is_idle


def test_once_closed_no_other_job_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_module, "CLOSE_SECONDS", 0.01)
    background, gate, done = Background("tests", limit=2), Event(), Event()
    background.start(waiting_for(gate))
    background.start(done.set)
    background.close()
    gate.set()
    background._thread.join(LIMIT_SECONDS)
    assert not done.is_set()
