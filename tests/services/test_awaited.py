"""The partition that learning waits for is told in the log, not too soon and not too often."""

from __future__ import annotations

import logging

import pytest

from services.awaited import AwaitedPartition


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(",")[0] for record in caplog.records]


def test_a_partition_is_told_after_ten_seconds_and_then_at_twice_the_time_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    awaited = AwaitedPartition(clock)
    awaited.becomes(2)
    for _ in range(100):
        awaited.remind()
        clock.now += 1
    told = [f"partition 2 has had no message for {seconds} s" for seconds in (10, 20, 40, 80)]
    assert lines(caplog) == told
    assert all("stream.merge" in record.getMessage() for record in caplog.records)


def test_its_return_is_told_where_its_absence_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    awaited = AwaitedPartition(clock)
    for seconds in (3.0, 12.0):
        awaited.becomes(1)
        clock.now += seconds
        awaited.remind()
        awaited.becomes(None)
        awaited.remind()
    assert [record.getMessage() for record in caplog.records[1:]] == [
        "partition 1 has messages again, after 12 s"
    ]


def test_the_next_partition_has_ten_seconds_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    awaited = AwaitedPartition(clock)
    for partition in (0, 1):
        awaited.becomes(partition)
        clock.now += 9
        awaited.remind()
    assert lines(caplog) == []
    clock.now += 1
    awaited.remind()
    assert lines(caplog) == ["partition 1 has had no message for 10 s"]
