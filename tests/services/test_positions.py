"""Positions that the stream does not hold: refused with what to do, or moved and recorded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from services.positions import fit_position
from si_stream.brokers.interface import Position
from si_stream.brokers.memory import MemoryBroker
from si_stream.errors import PositionOutOfRange
from si_stream.messages.kinds import Message
from si_stream.state import State
from tests.streams import STREAM, enveloped, memory_broker, samples, settings


def broker_with(low: int = 0) -> MemoryBroker:
    messages: list[Message] = [samples(2, 2 * n, task="a") for n in range(10)]
    broker = memory_broker(messages, messages)
    broker.prune(STREAM, 0, low)
    return broker


def state_at(broker: MemoryBroker, *places: tuple[int, int], **stream: Any) -> State:
    """A state in the middle of a task, at these places."""
    chosen = settings(Path("nowhere"), stream=stream)
    state = State(chosen, broker.stream_id(STREAM))
    state.ledger.position = {n: Position(*place) for n, place in enumerate(places)}
    state.ledger.counted = {n: Position(place[0] + 1) for n, place in enumerate(places)}
    state.ledger.tasks.open("a", None, shared_head=False)
    return state


@pytest.mark.parametrize("policy", ["fail", "earliest", "latest"])
@pytest.mark.parametrize("place", [(3, 0), (3, 1), (9, 1), (10, 0)])
def test_a_position_that_the_stream_holds_stays(policy: str, place: tuple[int, int]) -> None:
    broker = broker_with(low=3)
    state = state_at(broker, place, (1, 0), out_of_range=policy)
    before = state.ledger.copied()
    fit_position(state, broker)
    assert state.ledger == before


MISFITS = {
    "below the lowest": ((2, 1), "partition 0: offset 2 is no longer kept, the lowest is 3"),
    "above the highest": ((11, 0), "partition 0: offset 11 was never written, the next one will"),
    "inside a message to come": ((10, 1), "partition 0: offset 10 was never written"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_one_that_it_does_not_hold_is_refused_with_what_to_do(misfit: str) -> None:
    place, complaint = MISFITS[misfit]
    broker = broker_with(low=3)
    with pytest.raises(PositionOutOfRange) as raised:
        fit_position(state_at(broker, place, (1, 0)), broker)
    assert complaint in str(raised.value)
    for way in ("stream.out_of_range=earliest", "stream.out_of_range=latest", "rollback"):
        assert way in str(raised.value)


@pytest.mark.parametrize(("policy", "goes_on"), [("earliest", 3), ("latest", 10)])
@pytest.mark.parametrize("misfit", MISFITS)
def test_by_a_setting_it_is_moved_told_of_and_recorded(
    misfit: str, policy: str, goes_on: int, caplog: pytest.LogCaptureFixture
) -> None:
    place, complaint = MISFITS[misfit]
    broker = broker_with(low=3)
    state = state_at(broker, place, (1, 0), out_of_range=policy)
    with caplog.at_level(logging.WARNING):
        fit_position(state, broker)
    assert state.ledger.position == {0: (goes_on, 0), 1: (1, 0)}
    assert state.ledger.counted == {0: (goes_on, 0), 1: (2, 0)}
    [change] = state.ledger.changes
    assert change["position"] == {0: place, 1: (1, 0)}
    assert complaint in change["changes"][0]
    assert complaint in caplog.text


def test_a_partition_that_is_gone_is_refused_or_left_out() -> None:
    broker = broker_with()
    with pytest.raises(PositionOutOfRange, match="partition 2 is not there any more"):
        fit_position(state_at(broker, (1, 0), (1, 0), (4, 0)), broker)
    state = state_at(broker, (1, 0), (1, 0), (4, 0), out_of_range="earliest")
    fit_position(state, broker)
    assert state.ledger.position == {0: (1, 0), 1: (1, 0)}


@pytest.mark.parametrize(("policy", "goes_on"), [("fail", 0), ("earliest", 3), ("latest", 10)])
def test_what_was_removed_before_any_of_it_was_read_is_not_passed_over_in_silence(
    policy: str, goes_on: int
) -> None:
    broker = broker_with(low=3)
    state = state_at(broker, (0, 0), (1, 0), out_of_range=policy)
    if policy == "fail":
        with pytest.raises(PositionOutOfRange, match="offset 0 is no longer kept, the lowest is 3"):
            fit_position(state, broker)
        return
    fit_position(state, broker)
    assert state.ledger.position == {0: (goes_on, 0), 1: (1, 0)}
    assert len(state.ledger.changes) == 1


def test_a_partition_that_was_added_begins_with_the_oldest_that_is_kept() -> None:
    broker = broker_with(low=3)
    broker.add_partitions(STREAM, 3)
    broker.append(STREAM, 2, enveloped([samples(2, 0, task="a")] * 5))
    broker.prune(STREAM, 2, 4)
    state = state_at(broker, (3, 0), (1, 0))
    state.ledger.tasks.end(("1",), None)
    fit_position(state, broker)
    assert state.ledger.position == {0: (3, 0), 1: (1, 0), 2: (4, 0)}
    assert state.ledger.changes == []


def test_a_model_that_has_read_nothing_begins_with_the_oldest_that_is_kept() -> None:
    broker = broker_with(low=3)
    state = State(settings(), broker.stream_id(STREAM))
    fit_position(state, broker)
    assert state.ledger.position == {0: (3, 0), 1: (0, 0)}
    assert state.ledger.changes == []


@pytest.mark.parametrize(("policy", "goes_on"), [("earliest", 0), ("latest", 10)])
def test_in_a_stream_made_anew_all_partitions_are_moved_also_where_offsets_fit(
    policy: str, goes_on: int
) -> None:
    broker = broker_with()
    state = state_at(broker, (4, 1), (0, 1), out_of_range=policy)
    fit_position(state, broker, made_anew=True)
    assert state.ledger.position == {0: (goes_on, 0), 1: (goes_on, 0)}
    assert state.ledger.counted == {}
