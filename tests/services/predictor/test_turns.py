"""Turns in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from services.predictor.turns import SLICE_SECONDS, Turns
from si_stream.errors import DeadlinePassed

FAR = 60.0


async def stays() -> Message:
    """What comes from a client who waits for the answer: nothing."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def goes() -> Message:
    return {"type": "http.disconnect"}


def run(test: Callable[[Turns], Awaitable[None]]) -> None:
    async def within() -> None:
        await test(Turns())

    asyncio.run(within())


async def wait(turns: Turns, deadline_seconds: float = FAR) -> float:
    return await turns.taken(monotonic() + deadline_seconds, stays)


def test_within_a_slice_nobody_waits() -> None:
    async def test(turns: Turns) -> None:
        for _ in range(10):
            assert await wait(turns) == 0
            turns.spent(SLICE_SECONDS / 11)

    run(test)


def test_after_a_slice_those_who_come_wait_and_are_let_on_in_their_order_a_slice_at_a_time() -> (
    None
):
    async def test(turns: Turns) -> None:
        order: list[int] = []

        async def come(number: int) -> None:
            assert await wait(turns) > 0
            order.append(number)
            turns.spent(SLICE_SECONDS / 2)

        tasks = [asyncio.create_task(come(number)) for number in range(5)]
        turns.spent(SLICE_SECONDS / 2)
        turns.spent(SLICE_SECONDS / 2)  # so two are expected to fit into a slice
        reached: list[int] = []
        while len(order) < 5:
            await asyncio.sleep(0)  # one look of the event loop at its sockets
            if len(order) not in reached:
                reached.append(len(order))
        assert order == [0, 1, 2, 3, 4]
        assert reached == [0, 2, 4, 5]
        await asyncio.gather(*tasks)
        for _ in range(3):
            await asyncio.sleep(0)
        assert await wait(turns) == 0

    run(test)


def test_who_waits_longer_than_its_deadline_is_told_so_and_holds_up_nobody() -> None:
    async def test(turns: Turns) -> None:
        before = [asyncio.create_task(wait(turns)) for _ in range(5)]
        late, patient = asyncio.create_task(wait(turns, -1)), asyncio.create_task(wait(turns))
        turns.spent(SLICE_SECONDS)
        with pytest.raises(DeadlinePassed, match=r"predictor\.deadline_seconds"):
            await late
        assert await patient > 0
        assert all(task.done() for task in before)

    run(test)


def test_the_turn_of_a_client_who_has_gone_is_the_next_ones() -> None:
    async def test(turns: Turns) -> None:
        gone = asyncio.create_task(turns.taken(monotonic() + FAR, goes))
        patient = asyncio.create_task(wait(turns))
        turns.spent(SLICE_SECONDS)
        with pytest.raises(ClientDisconnect):
            await gone
        assert await patient > 0

    run(test)


def test_a_request_that_is_given_up_while_it_waits_holds_up_nobody() -> None:
    async def test(turns: Turns) -> None:
        before = asyncio.create_task(wait(turns))
        given_up, patient = asyncio.create_task(wait(turns)), asyncio.create_task(wait(turns))
        turns.spent(SLICE_SECONDS)
        await before
        given_up.cancel()
        assert await patient > 0
        assert given_up.cancelled()

    run(test)
