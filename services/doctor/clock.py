"""The clocks: this machine's against itself, against what was written, and against the broker's.

It is not asked how right the time is: no time server is. Kafka tells no time but that of records,
so its clock is seen to be ahead of this one, and never to be behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from services.doctor.broker import opened
from services.doctor.finding import Finding, ok, warn
from services.doctor.wholeness import newest_whole
from services.quantities import seconds
from si_stream.errors import SIStreamError
from si_stream.settings import Settings

STEPS = 20
STEP_SECONDS = 0.005
TOLERANCE_SECONDS = 5.0
Read = Callable[[], tuple[float, float]]
ADVICE = "set it by a time server (timedatectl): ages, such as that of a checkpoint, count on it"


def look(settings: Settings) -> Iterator[Finding]:
    yield of_steadiness(read_clocks)
    yield of_written(settings.directory, time.time())
    if settings.stream.broker.startswith("kafka:"):
        yield from of_broker(settings)


def read_clocks() -> tuple[float, float]:
    return time.time(), time.monotonic()


def of_steadiness(read: Read) -> Finding:
    """Whether the wall clock and the steady one go forward, as far as each other."""
    about = "clock: steady"
    readings = [read()]
    for _ in range(STEPS):
        time.sleep(STEP_SECONDS)
        readings.append(read())
    (wall, steady), (last_wall, last_steady) = readings[0], readings[-1]
    if any(after[1] < before[1] for before, after in pairwise(readings)):
        return warn(about, "the steady clock went back", "look at this machine's kernel log")
    apart = (last_wall - wall) - (last_steady - steady)
    if abs(apart) > 0.5:
        return warn(about, f"the time was just set by {apart:+.1f} s", ADVICE)
    now = datetime.fromtimestamp(last_wall, UTC)
    return ok(about, f"it is {now:%Y-%m-%d %H:%M:%S} UTC; no time server was asked")


def of_written(directory: Path, now: float) -> Finding:
    """Whether the newest checkpoint was written before now."""
    about = "clock: checkpoints"
    newest = newest_whole(directory)
    if newest is None:
        return ok(about, "there is none to compare with")
    ahead = newest.written_seconds - now
    if ahead > TOLERANCE_SECONDS:
        return warn(
            about,
            f"the newest checkpoint was written {seconds(ahead)} from now: this clock was set "
            "back, or another machine's is ahead",
            ADVICE,
        )
    return ok(about, "the newest was written before now")


def of_broker(settings: Settings) -> Iterator[Finding]:
    from si_stream.brokers.kafka.broker import KafkaBroker

    about, name = "clock: broker", settings.stream.name
    try:
        with opened(settings) as broker:
            assert isinstance(broker, KafkaBroker)
            partitions = range(broker.partitions(name))
            times = [broker.newest_seconds(name, partition) for partition in partitions]
    except SIStreamError:
        return  # which is told of with the broker
    newest = max((one for one in times if one is not None), default=None)
    if newest is None:
        yield ok(about, "the stream holds no record to compare with")
        return
    ahead = newest - time.time()
    if ahead > TOLERANCE_SECONDS:
        yield warn(
            about,
            f"the newest record is from {seconds(ahead)} from now: the broker's clock is ahead, "
            "or that of a sender where the topic takes theirs",
            "set both by a time server; message.timestamp.type=LogAppendTime trusts no sender",
        )
    else:
        yield ok(about, f"the newest record is from {seconds(max(0.0, -ahead))} ago")
