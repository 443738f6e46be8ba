"""The loop over several partitions: what is learned follows from where the messages lie."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from si_stream import events
from si_stream.brokers import open_broker
from si_stream.brokers.interface import Broker, Envelope
from si_stream.brokers.memory import MemoryBroker
from si_stream.checkpoints.store import CheckpointStore
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from si_stream.state import State
from simulators.options import ReplayOptions
from simulators.replay import replay
from tests.streams import (
    DIGITS,
    STREAM,
    Listener,
    OneByOne,
    Shuffled,
    contents,
    dealt,
    digits,
    digits_stream,
    enveloped,
    filled,
    learn,
    learned_contents,
    loaded,
    memory_broker,
    reloaded,
    samples,
    settings,
    written,
)

Stream = list[Message | Envelope]

# Which partition has the messages of samples: in turn, uneven, two that only have boundaries.
PATTERNS = ["012", "0012", "2", "201"]


def small_stream() -> Stream:
    """Messages of other sizes than a batch, bad rows, holdouts and boundaries sent twice."""
    return [
        samples(5, 900, task="a", role="holdout"),
        samples(13, 0, task="a"),
        Envelope({}, b"{"),
        samples(9, 13, task="a", bad=(0, 4, 8)),
        samples(3, 700, task="z"),
        samples(7, 22, task="a"),
        samples(1, 29, task="a"),
        Boundary("1", next_task="b"),
        Boundary("1"),
        samples(6, 910, role="holdout"),
        samples(16, 43),
        samples(2, 59),
        samples(4, 61),
        Boundary("2"),
        samples(10, 70, task="a"),
        End("3"),
    ]


def chosen(**stream: str) -> Settings:
    often = {"evaluation_interval_steps": 3}
    return settings(holdout=often, learner={"shadow": "none"}, stream=stream)


@cache
def spread(pattern: str) -> MemoryBroker:
    return memory_broker(*dealt(small_stream(), pattern))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("merge", ["in-turn", "arrival"])
def test_each_sample_is_learned_exactly_once(pattern: str, merge: str) -> None:
    state, heard = learn(spread(pattern), chosen(merge=merge))
    alone, heard_alone = learn(memory_broker(small_stream()), chosen())
    assert state.ledger.samples == alone.ledger.samples
    assert state.ledger.rejected == alone.ledger.rejected
    assert state.ledger.consolidations == alone.ledger.consolidations == 3
    assert [task.name for task in state.ledger.tasks.known] == ["a", "b"]
    assert received(heard) == received(heard_alone)
    ends = {n: spread(pattern).watermarks(STREAM, n).high for n in range(3)}
    assert {n: position.offset for n, position in state.ledger.position.items()} == ends


def received(heard: Listener) -> list[tuple[str, int]]:
    return sorted((event.role, event.samples) for event in heard.heard(events.Received))


@pytest.mark.parametrize("pattern", ["012", "2"])
def test_dealt_in_turn_they_are_learned_in_the_order_of_one_partition(pattern: str) -> None:
    alone, _ = learn(memory_broker(small_stream()), chosen())
    state, _ = learn(spread(pattern), chosen())
    assert learned_contents(state) == learned_contents(alone)
    assert state.ledger.tasks == alone.ledger.tasks


@hypothesis_settings(max_examples=40, deadline=None)
@given(pattern=st.sampled_from(PATTERNS), seed=st.integers(0, 2**32))
def test_when_a_partitions_records_arrive_changes_no_bit(pattern: str, seed: int) -> None:
    broker = spread(pattern)
    shuffled, _ = learn(broker, chosen(), read=partial(Shuffled, random=Random(seed)))
    assert contents(shuffled) == whole(pattern)


@cache
def whole(pattern: str) -> dict[str, str]:
    return contents(learn(spread(pattern), chosen())[0])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("every", [1, 2, 3])
def test_stopped_after_every_kth_batch_it_comes_to_the_same_state(
    pattern: str, every: int, tmp_path: Path
) -> None:
    broker, store = spread(pattern), CheckpointStore(tmp_path)
    state, stops = State(chosen(), broker.stream_id(STREAM)), 0
    while learn(broker, chosen(), state=state, host=Listener(stop_after=every))[1].batches == every:
        state = reloaded(state, store)
        stops += 1
    assert contents(state) == whole(pattern)
    assert stops == state.ledger.steps // every


@pytest.mark.parametrize("pattern", PATTERNS)
def test_from_whatever_was_saved_on_the_way_the_same_state_follows(
    pattern: str, tmp_path: Path
) -> None:
    broker, store, saved = spread(pattern), CheckpointStore(tmp_path), list[Path]()
    resting = 0

    def save(state: State) -> None:
        nonlocal resting
        saved.append(written(state, store))
        position = state.ledger.position
        resting += any(at_boundary(broker, n, place.offset) for n, place in position.items())

    learn(broker, chosen(), host=Listener(save=save), read=OneByOne)
    assert resting > 3  # saved while partitions rested at a boundary
    for path in saved:
        state, _ = learn(broker, chosen(), state=loaded(store, path, chosen()))
        assert contents(state) == whole(pattern)


def at_boundary(broker: Broker, partition: int, offset: int) -> bool:
    with broker.reader(STREAM, {partition: offset}) as reader:
        records = reader.poll(0, [partition])
    return bool(records) and records[0].headers.get("ce_type") == "si-stream.boundary"


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_by_arrival_a_stop_neither_loses_nor_doubles_a_sample(
    stop_after: int, tmp_path: Path
) -> None:
    broker, store, arrival = spread("0012"), CheckpointStore(tmp_path), chosen(merge="arrival")
    random = Random(stop_after)
    first, second = Listener(stop_after), Listener()
    state, _ = learn(broker, arrival, host=first, read=partial(Shuffled, random=random))
    state = reloaded(state, store)
    learn(broker, arrival, state=state, host=second, read=partial(Shuffled, random=random))
    uninterrupted, heard = learn(broker, arrival)
    assert state.ledger.samples == uninterrupted.ledger.samples
    assert state.ledger.rejected == uninterrupted.ledger.rejected
    assert sorted(received(first) + received(second)) == received(heard)
    trained = [e for one in (first, second) for e in one.heard(events.BatchLearned)]
    assert sum(event.samples for event in trained) == uninterrupted.ledger.samples


def test_by_arrival_an_empty_partition_holds_up_nothing_until_a_boundary() -> None:
    broker = memory_broker([samples(8, 8 * n, task="a") for n in range(4)], [], [])
    arrival = settings(stream={"merge": "arrival"})
    state, heard = learn(broker, arrival, host=Listener(stop_after=4))
    assert state.ledger.samples == 32
    for partition in range(3):
        broker.append(STREAM, partition, enveloped([End("end")]))
    state, heard = learn(broker, arrival, state=state)
    assert (state.ledger.samples, state.ledger.ended, heard.batches) == (32, True, 0)


class Impatient(Listener):
    """Does something once it is told that a partition is awaited."""

    def __init__(self, act: Callable[[int], object]) -> None:
        super().__init__()
        self.act = act

    def emit(self, event: events.Event) -> None:
        super().emit(event)
        if isinstance(event, events.Awaiting) and event.partition is not None:
            self.act(event.partition)


def test_an_empty_partition_stalls_learning_and_goes_on_with_its_next_message() -> None:
    broker = memory_broker(
        [samples(8, 0, task="a"), samples(8, 24, task="a"), End("end")],
        [],
        [samples(8, 16, task="a"), End("end")],
    )
    learned_before: list[int] = []

    def supply(partition: int) -> None:
        assert partition == 1
        learned_before.append(host.batches)
        broker.append(STREAM, 1, enveloped([samples(8, 8, task="a"), End("end")]))

    host = Impatient(supply)
    state, _ = learn(broker, settings(), host=host)
    told = [event.partition for event in host.heard(events.Awaiting)]
    assert (learned_before, told) == ([1], [1, None])
    alone: Stream = [*(samples(8, 8 * n, task="a") for n in range(4)), End("end")]
    assert learned_contents(state) == learned_contents(learn(memory_broker(alone), settings())[0])


def test_two_senders_at_once_make_one_boundary_and_block_nothing() -> None:
    state, heard = learn(
        memory_broker(
            [samples(4, task="a"), Boundary("1"), Boundary("2", next_task="b"), End("end")],
            [samples(4, 4, task="a"), Boundary("2", next_task="b"), Boundary("1"), End("end")],
        ),
        settings(),
    )
    assert state.ledger.consolidations == 1
    assert state.ledger.tasks.event_ids == ["1", "2", "end"]
    assert state.ledger.tasks.announced is None  # the end announces none
    assert [event.samples for event in heard.heard(events.BatchLearned)] == [8]


def test_a_boundary_sent_by_half_holds_learning_until_it_is_sent_again() -> None:
    broker = memory_broker(
        [samples(8, task="a"), Boundary("1"), samples(8, 16, task="b")],
        [samples(8, 8, task="a")],
    )

    def complete(partition: int) -> None:
        assert (partition, host.batches) == (1, 2)
        again: Stream = [Boundary("1"), samples(8, 24, task="b"), End("end")]
        broker.append(STREAM, 1, enveloped(again))
        broker.append(STREAM, 0, enveloped([Boundary("1"), End("end")]))

    host = Impatient(complete)
    state, heard = learn(broker, settings(), host=host)
    assert state.ledger.consolidations == 2
    told = [(event.task, event.samples) for event in heard.heard(events.BatchLearned)]
    assert told == [("a", 8), ("a", 8), ("b", 8), ("b", 8)]
    assert state.ledger.rejected == {}


@pytest.mark.parametrize("url", ["memory:", "embedded:"])
def test_partitions_that_are_added_take_part_from_the_next_boundary_on(
    url: str, tmp_path: Path
) -> None:
    with open_broker(url + (str(tmp_path / "log") if url == "embedded:" else "")) as broker:
        filled(
            broker,
            [samples(24, task="a"), Boundary("1"), samples(8, 24, task="b"), Boundary("2")],
        )
        known: list[int] = []

        class Adds(Listener):
            def emit(self, event: events.Event) -> None:
                super().emit(event)
                if self.batches == 2 and broker.partitions(STREAM) == 1:
                    broker.add_partitions(STREAM, 3)
                    for n in (1, 2):
                        more: Stream = [samples(8, 24 + 8 * n, task="b"), Boundary("2")]
                        broker.append(STREAM, n, enveloped(more))
                    for n in range(3):
                        after: Stream = [samples(8, 48 + 8 * n, task="c"), End("end")]
                        broker.append(STREAM, n, enveloped(after))

            def between_batches(self, state: State) -> None:
                super().between_batches(state)
                known.append(len(state.ledger.position))

        state, heard = learn(broker, settings(), host=Adds(), read=OneByOne)
    order = [(event.task, event.samples) for event in heard.heard(events.BatchLearned)]
    assert order == [("a", 8)] * 3 + [("b", 8)] * 3 + [("c", 8)] * 3
    assert known == sorted(known)
    assert {*known} == {1, 3}
    assert known.index(3) >= 3  # not within task a
    one: Stream = [
        samples(24, task="a"),
        Boundary("1"),
        samples(24, 24, task="b"),
        Boundary("2"),
        samples(24, 48, task="c"),
        End("end"),
    ]
    assert state.ledger.samples == 72
    alone, _ = learn(memory_broker(one), settings())
    assert learned_contents(state) == learned_contents(alone)


@cache
def grown() -> dict[str, str]:
    """What follows from a stream that grew in task b, where it is read from its beginning."""
    return contents(learn(memory_broker(*GROWN), settings())[0])


GROWN: list[Stream] = [
    [
        samples(20, task="a"),
        Boundary("1"),
        samples(18, 20, task="b"),
        Boundary("2"),
        samples(8, 38, task="c"),
        samples(9, 54, task="c"),
        Boundary("3"),
        End("end"),
    ],
    [Boundary("2"), samples(8, 46, task="c"), Boundary("3"), End("end")],
    [Boundary("2"), Boundary("3"), End("end")],
]


@pytest.mark.parametrize("noticed_after", range(7))
@pytest.mark.parametrize("stop_after", [None, 3, 4, 6])
def test_a_partition_that_begins_with_a_boundary_gives_the_same_state_whenever_it_is_noticed(
    noticed_after: int, stop_after: int | None, tmp_path: Path
) -> None:
    """Also by a learner that has crashed, and takes an older boundary up again."""
    broker = memory_broker(GROWN[0])

    class Adds(Listener):
        def between_batches(self, state: State) -> None:
            if state.ledger.steps >= noticed_after and broker.partitions(STREAM) == 1:
                broker.add_partitions(STREAM, 3)
                for n in (1, 2):
                    broker.append(STREAM, n, enveloped(GROWN[n]))

    state, _ = learn(broker, settings(), host=Adds(stop_after))
    state = reloaded(state, CheckpointStore(tmp_path))
    state, _ = learn(broker, settings(), state=state, host=Adds())
    assert contents(state) == grown()
    assert (state.ledger.samples, state.ledger.rejected) == (63, {})


def test_partitions_added_to_a_learner_that_stands_between_two_tasks_are_read_at_its_start(
    tmp_path: Path,
) -> None:
    broker = memory_broker([samples(8, task="a"), End("1")])
    state, _ = learn(broker, settings())
    broker.add_partitions(STREAM, 2)
    broker.append(STREAM, 0, enveloped([samples(8, 8, task="b"), End("2")]))
    broker.append(STREAM, 1, enveloped([samples(8, 16, task="b"), End("2")]))
    state = reloaded(state, CheckpointStore(tmp_path))
    learn(broker, settings(), state=state)
    assert (state.ledger.samples, {*state.ledger.position}) == (24, {0, 1})


def test_partitions_added_within_a_task_wait_for_its_boundary_also_over_a_restart(
    tmp_path: Path,
) -> None:
    broker = memory_broker([samples(16, task="a"), Boundary("1"), samples(8, 16), End("2")])
    state, _ = learn(broker, settings(), host=Listener(stop_after=1))
    broker.add_partitions(STREAM, 2)
    broker.append(STREAM, 1, enveloped([samples(8, 24), End("2")]))
    state = reloaded(state, CheckpointStore(tmp_path))
    _, heard = learn(broker, settings(), state=state)
    told = [(event.task, event.samples) for event in heard.heard(events.BatchLearned)]
    assert told == [("a", 8), ("task-2", 8), ("task-2", 8)]


def replayed(broker: Broker, partitions: int) -> Broker:
    options = ReplayOptions(partitions=partitions, samples_per_message=16)
    broker.create_stream(STREAM, partitions)
    replay(digits(), options, partial(broker.append, STREAM))
    return broker


@pytest.mark.parametrize("url", ["memory:", "embedded:"])
def test_a_replay_to_three_partitions_gives_the_bits_of_one(url: str, tmp_path: Path) -> None:
    digits_settings = settings(model=DIGITS, learner={"shadow": "none"})
    alone = memory_broker(digits_stream(samples_per_message=16))
    expected, heard = learn(alone, digits_settings)
    place = str(tmp_path / "log") if url == "embedded:" else ""
    with closing(replayed(open_broker(url + place), partitions=3)) as broker:
        state, told = learn(broker, digits_settings)
    assert learned_contents(state) == learned_contents(expected)
    assert state.ledger.tasks == expected.ledger.tasks
    assert told.batches == heard.batches > 40
    assert len(state.ledger.position) == 3
