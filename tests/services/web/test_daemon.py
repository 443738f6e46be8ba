"""A call on a thread that nobody waits for at the process's end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.web.daemon import in_daemon_thread


def test_it_returns_or_raises_what_the_call_does() -> None:
    assert asyncio.run(in_daemon_thread(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_daemon_thread(lambda: 1 // 0))


def test_whoever_no_longer_waits_is_held_up_by_nothing() -> None:
    enough, threads = threading.Event(), []

    def call() -> None:
        threads.append(threading.current_thread())
        enough.wait()

    async def give_up() -> None:
        await asyncio.wait_for(in_daemon_thread(call), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())  # ends while the call still waits
    enough.set()
    for thread in threads:
        assert thread.daemon
        thread.join()
