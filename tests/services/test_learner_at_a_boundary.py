"""What happens on Kafka while a learner consolidates: a second one takes over, or the stream gets
more partitions. The learner is held there (SIGSTOP), so that it happens then and not near it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.exit_codes import exit_code
from services.processes import Child
from si_stream.brokers.kafka.broker import KafkaBroker
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import CheckpointError
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from tests.services.learner_process import (
    bare,
    finished,
    journal,
    on_kafka,
    paused,
    wait_until,
    without_places,
)
from tests.streams import SMALL, dealt, enveloped, memory_broker, samples

FIRST_STEPS = 25  # of 8 samples
HOLDOUT_SAMPLES = 10_000

Stream = list[Message]

FIRST: Stream = [
    samples(HOLDOUT_SAMPLES, 20_000, task="a", role="holdout"),
    *(samples(20, 20 * n, task="a") for n in range(10)),
    Boundary("1"),
]
SECOND: Stream = [*(samples(20, 200 + 20 * n, task="b") for n in range(10)), Boundary("2")]
THIRD: Stream = [*(samples(20, 400 + 20 * n, task="c") for n in range(10)), End("3")]


@pytest.fixture
def chosen(tmp_path: Path, topic: str, kafka_url: str) -> Settings:
    """A network so large that its evaluation at a boundary takes a while."""
    model = SMALL | {"network": {"hidden": (1000, 1000)}}
    holdout = {"capacity": HOLDOUT_SAMPLES}
    return on_kafka(tmp_path, topic, kafka_url, model=model, holdout=holdout)


@contextmanager
def held_at_a_boundary(child: Child, chosen: Settings) -> Iterator[None]:
    """The learner has learned all of the first task, and consolidates then."""
    wait_until(child, "si_stream_step", reaches=FIRST_STEPS)
    with paused(child):
        assert not journal(chosen, "Consolidated")
        yield


def test_a_second_learner_takes_over_and_the_first_ends_with_a_clear_error(
    kafka: KafkaBroker, topic: str, chosen: Settings, started: list[Child]
) -> None:
    kafka.create_stream(topic)
    kafka.append(topic, 0, enveloped([*FIRST, *SECOND]))
    started.append(first := Child("learner", settings=chosen))
    with held_at_a_boundary(first, chosen):
        started.append(second := Child("learner", settings=chosen))
        wait_until(second, "si_stream_consolidations_total", reaches=1)
    assert first.wait() == exit_code(CheckpointError())
    assert "another learner has taken over this model" in first.last_lines[-1]
    kafka.append(topic, 0, enveloped(THIRD))
    expected = bare(memory_broker([*FIRST, *SECOND, *THIRD]), chosen)
    assert finished(second, chosen) == expected
    newest = CheckpointStore(chosen.directory).newest()
    assert newest is not None
    assert newest.manifest.epoch == 2


def test_partitions_that_are_added_take_part_behind_their_first_boundary(
    kafka: KafkaBroker, topic: str, chosen: Settings, started: list[Child]
) -> None:
    kafka.create_stream(topic)
    kafka.append(topic, 0, enveloped([*FIRST, *SECOND[:-1]]))
    started.append(child := Child("learner", settings=chosen))
    dealt_third = dealt(THIRD, "012")
    boundary = SECOND[-1:]
    with held_at_a_boundary(child, chosen):
        kafka.add_partitions(topic, 3)
        for number, held in enumerate(dealt_third):
            kafka.append(topic, number, enveloped([*boundary, *held]))
    parts = [[*FIRST, *SECOND, *dealt_third[0]], *([*boundary, *one] for one in dealt_third[1:])]
    assert finished(child, chosen) == bare(memory_broker(*parts), chosen)


def test_added_partitions_that_begin_with_samples_take_part_at_once(
    kafka: KafkaBroker, topic: str, chosen: Settings, started: list[Child]
) -> None:
    kafka.create_stream(topic)
    kafka.append(topic, 0, enveloped(FIRST))
    started.append(child := Child("learner", settings=chosen))
    with held_at_a_boundary(child, chosen):
        kafka.add_partitions(topic, 2)
    rest = dealt([*SECOND, *THIRD], "01", partitions=2)
    for number, held in enumerate(rest):
        kafka.append(topic, number, enveloped(held))
    # As if the first task's boundary had been sent to both.
    parts = [[*FIRST, *rest[0]], [FIRST[-1], *rest[1]]]
    expected = bare(memory_broker(*parts), chosen)
    assert without_places(finished(child, chosen)) == without_places(expected)
