"""Snapshots beside learning: it waits for a copy alone, and the copy is that of its moment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import FrameType

import torch

from services.choosing import Choosing
from si_stream.state import State
from tests.services.test_choosing import assert_chooses_as
from tests.services.test_learner_host import LIMIT_SECONDS, hosted
from tests.streams import DIGITS, digits_stream, memory_broker, settings


def modules_entered(work: Callable[[], None]) -> set[str]:
    """By this thread, while it does the work."""
    entered: set[str] = set()

    def note(frame: FrameType, _event: str, _argument: object) -> None:
        entered.add(str(frame.f_globals.get("__name__")))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return entered


def test_learning_waits_for_the_copy_alone_and_the_chooser_is_that_of_the_copys_moment(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path, model=DIGITS, learner={"exit_at_end": True})
    gate = Event()

    def hold() -> None:
        gate.wait(LIMIT_SECONDS)

    with hosted(memory_broker(digits_stream()), chosen) as (host, state):
        publish, last = host.publish, 3
        host.publish = lambda _: None  # type: ignore[assignment, method-assign]
        host.learn(state)
        assert state.ledger.consolidations == last
        expected = Choosing().of(state).chooser()
        assert expected is not None
        host.publishing._background.start(hold)
        entered = modules_entered(lambda: publish(state))
        assert "services.publishing" in entered
        assert "si_stream.boundaries.choice" not in entered
        spoil(state)
        gate.set()
        assert host.publishing.wait(LIMIT_SECONDS)
        published = host.publishing.snapshots.newest()
    assert published is not None
    assert expected.chooser.fitted_samples > 0
    assert_chooses_as(expected.chooser, published)


def spoil(state: State) -> None:
    """What the next task and a rewind to before the last one do to a state."""
    ones = torch.ones((300, 8, 8), dtype=torch.uint8)
    for number in (0, 3):
        state.portraits.see(number, ones, torch.arange(300) % 2)
        state.portraits.end(number)
    del state.portraits.known[2]
    [*names] = state.holdouts.sets
    state.holdouts.sets = {names[0]: state.holdouts.sets[names[0]]}
    state.holdouts.add(names[2], ones.numpy(), torch.zeros(300, dtype=torch.int64).numpy())
    del state.ledger.tasks.known[2]
