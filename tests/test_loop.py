"""The loop: what is learned follows from the stream alone, however that is carried or cut."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from si_stream import events
from si_stream.batches import Batch
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.brokers.interface import Envelope, Record
from si_stream.checkpoints.store import CheckpointStore
from si_stream.errors import NotFinite
from si_stream.messages.kinds import Boundary, End, Message
from si_stream.settings import Settings
from si_stream.state import Quarantined, State
from tests.streams import (
    DIGITS,
    STREAM,
    Listener,
    OneByOne,
    contents,
    digest,
    digits_stream,
    learn,
    learned,
    learned_contents,
    loaded,
    memory_broker,
    reloaded,
    samples,
    settings,
    written,
)

Stream = list[Message | Envelope]
NOT_JSON = Envelope({}, b"{")


def eventful(shape: tuple[int, ...]) -> Stream:
    """A stream in which all that can happen happens while samples wait for the rest of a batch."""
    some = partial(samples, shape=shape)
    return [
        some(5, 900, task="a", role="holdout"),
        some(13, 0, task="a"),
        NOT_JSON,
        some(9, 13, task="a", bad=(0, 4, 8)),
        some(4, 905, task="a", role="holdout", bad=(1,)),
        some(3, 700, task="z"),
        some(21, 22, task="a"),
        Boundary("first", next_task="b"),
        Boundary("first"),
        NOT_JSON,
        Boundary("nothing since", next_task="b"),
        some(2, 800, bad=(0, 1)),
        some(6, 910, role="holdout"),
        some(16, 43),
        some(3, 916, task="a", role="holdout"),
        some(1, 59),
        Boundary("second"),
        some(10, 60, task="a"),
        some(7, 70, task="a"),
        some(4, 920, role="holdout"),
        End("end"),
    ]


MODES: dict[str, dict[str, Any]] = {
    "announced": {},
    "task-name": {"boundaries": {"mode": "task-name"}},
    "shared head": {"model": {"heads": "shared"}},
    "divert": {"holdout": {"source": "divert", "share": 0.2}},
    "little room": {"holdout": {"capacity": 6}, "boundaries": {"max_tasks": 1}},
    "open labels": {"model": {"labels": "open", "outputs": 0, "max_classes": 9}},
    "ewc": {"consolidator": {"kind": "ewc", "fisher_samples": 10}},
    "lwf": {"consolidator": {"kind": "lwf"}},
    "slow trunk": {"consolidator": {"kind": "slow-trunk", "trunk_rate": 0.5}},
    "plain descent": {"optimiser": {"kind": "sgd"}, "learner": {"shadow": "off"}},
    "dropout": {"model": {"input_shape": (1, 12, 12), "network": {"kind": "cifar-cnn"}}},
}
in_every_mode = pytest.mark.parametrize("mode", MODES)


def of(mode: str) -> tuple[Stream, Settings]:
    groups = {"learner": {"shadow": "none"}, **MODES[mode]}
    often = {"evaluation_interval_steps": 3} | groups.get("holdout", {})
    chosen = settings(**groups | {"holdout": often})
    return eventful(chosen.model.input_shape), chosen


@in_every_mode
def test_stopped_after_every_batch_it_comes_to_the_same_state(mode: str, tmp_path: Path) -> None:
    stream, chosen = of(mode)
    broker, store = memory_broker(stream), CheckpointStore(tmp_path)
    whole, heard = learn(broker, chosen)
    state, hosts = State(chosen, broker.stream_id(STREAM)), list[Listener]()
    for _ in range(heard.batches + 1):
        hosts.append(Listener(stop_after=1))
        learn(broker, chosen, state=state, host=hosts[-1])
        state = reloaded(state, store)
    assert [host.batches for host in hosts] == [1] * heard.batches + [0]
    assert contents(state) == contents(whole)
    assert counted(*hosts) == counted(heard)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "dropout"])
def test_from_whatever_was_saved_on_the_way_the_same_state_follows(
    mode: str, tmp_path: Path
) -> None:
    stream, chosen = of(mode)
    broker, store, saved = memory_broker(stream), CheckpointStore(tmp_path), list[Path]()
    host = Listener(save=lambda state: saved.append(written(state, store)))
    whole, _ = learn(broker, chosen, host=host, read=OneByOne)
    assert len(saved) > len(stream)
    for path in saved:
        state, _ = learn(broker, chosen, state=loaded(store, path, chosen))
        assert contents(state) == contents(whole)


def counted(*hosts: Listener) -> dict[str, int]:
    """What listeners in a row have heard of samples and of what was rejected."""
    seen: dict[str, int] = {}
    for host in hosts:
        for event in host.events:
            match event:
                case events.Received(role, samples):
                    seen[role] = seen.get(role, 0) + samples
                case events.Rejected(reason):
                    seen[reason] = seen.get(reason, 0) + 1
                case events.BatchLearned(task, samples):
                    seen[task] = seen.get(task, 0) + samples
    return seen


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    stream=st.lists(
        st.one_of(
            st.builds(
                lambda size, task, role, bad: (size, task, role, bad < size and bad),
                st.integers(1, 20),
                st.sampled_from(["a", "b", None]),
                st.sampled_from(["train", "train", "train", "holdout"]),
                st.integers(0, 40),
            ),
            st.sampled_from(["boundary", "boundary to b", "same boundary", "not JSON"]),
        ),
        max_size=12,
    ),
    stop_after=st.integers(0, 12),
    mode=st.sampled_from(["announced", "task-name", "divert"]),
)
def test_any_stream_stopped_anywhere_comes_to_the_same_state(
    stream: list[Any], stop_after: int, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, chosen = of(mode)
    broker = memory_broker([*told(stream), End("end")])
    whole, heard = learn(broker, chosen)
    first = Listener(stop_after)
    stopped, _ = learn(broker, chosen, host=first, read=OneByOne)
    if stopped.ledger.ended:
        assert contents(stopped) == contents(whole)
        return
    store = CheckpointStore(tmp_path_factory.mktemp("model"))
    resumed, second = learn(broker, chosen, state=reloaded(stopped, store))
    assert contents(resumed) == contents(whole)
    assert counted(first, second) == counted(heard)


def told(parts: list[Any]) -> Iterator[Message | Envelope]:
    first = 0
    for number, part in enumerate(parts):
        match part:
            case (size, task, role, bad):
                rows = () if bad is False else (bad,)
                yield samples(size, first, task=task, role=role, bad=rows)
                first += size
            case "boundary":
                yield Boundary(f"b-{number}")
            case "boundary to b":
                yield Boundary(f"b-{number}", next_task="b")
            case "same boundary":
                yield Boundary("same")
            case "not JSON":
                yield NOT_JSON


@pytest.mark.parametrize("shadow", ["off", "none"])
def test_the_embedded_broker_gives_the_same_bits_as_memory(shadow: str, tmp_path: Path) -> None:
    stream, chosen = digits_stream(), settings(model=DIGITS, learner={"shadow": shadow})
    with EmbeddedBroker(tmp_path / "log.sqlite") as broker:
        broker.create_stream(STREAM)
        broker.append(STREAM, 0, stream)
        embedded, _ = learn(broker, chosen)
    assert contents(embedded) == contents(learned(stream, chosen))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("offset", [1, 4, 8, 60])
def test_where_in_memory_a_message_lies_changes_no_bit(dtype: str, offset: int) -> None:
    chosen = settings(model={"input_shape": (9,), "batch_size": 16, "dtype": dtype})
    messages = [samples(23, 23 * n, task="a", shape=(9,)) for n in range(12)]
    if dtype == "float32":
        messages = [replace(m, inputs=m.inputs.astype(np.float32) / 255) for m in messages]
    broker = memory_broker([*messages, End("end")])
    kept: list[object] = []

    def moved(record: Record) -> Record:
        size = len(record.value)
        space = (ctypes.c_char * (size + 128))()
        kept.append(space)
        start = -ctypes.addressof(space) % 64 + offset
        memoryview(space).cast("B")[start : start + size] = record.value
        return replace(record, value=memoryview(space).cast("B")[start : start + size])

    shifted, _ = learn(broker, chosen, read=partial(OneByOne, move=moved))
    assert len(kept) == 13
    assert contents(shifted) == contents(learn(broker, chosen)[0])


@pytest.mark.parametrize("size", [1, 7, 128, 1000])
def test_how_many_samples_a_message_holds_changes_nothing_that_is_learned(size: int) -> None:
    chosen = settings(model=DIGITS, learner={"shadow": "none"})
    expected = learned(digits_stream(samples_per_message=16), chosen)
    state = learned(digits_stream(samples_per_message=size), chosen)
    assert learned_contents(state) == learned_contents(expected)


def test_json_and_arrow_give_the_same_bits() -> None:
    chosen = settings(model=DIGITS)
    arrow, json = (learned(digits_stream(codec=codec), chosen) for codec in ("arrow", "json"))
    assert contents(json) == contents(arrow)


def test_a_shadow_changes_no_bit_of_the_main_learner() -> None:
    stream = digits_stream()
    alone = contents(learned(stream, settings(model=DIGITS)))
    beside = contents(learned(stream, settings(model=DIGITS, learner={"shadow": "none"})))
    assert {name: value for name, value in beside.items() if "shadow" not in name} == alone


def test_the_shadow_is_what_a_learner_without_consolidation_would_be() -> None:
    stream = digits_stream()
    shadow = contents(learned(stream, settings(model=DIGITS, learner={"shadow": "none"})))
    alone = contents(learned(stream, settings(model=DIGITS, consolidator={"kind": "none"})))
    assert {n: shadow[n.replace("main", "shadow")] for n in alone if "main" in n} == {
        n: value for n, value in alone.items() if "main" in n
    }
    assert shadow["main/trunk.weights"] != shadow["shadow/trunk.weights"]


def batches(messages: Stream, **groups: Any) -> list[tuple[str, int]]:
    _, heard = learn(memory_broker([*messages, End("end")]), settings(**groups))
    return [(event.task, event.samples) for event in heard.heard(events.BatchLearned)]


def test_a_boundary_cuts_a_batch_short() -> None:
    stream: Stream = [samples(13, task="a"), Boundary("1"), samples(17, 13, task="b")]
    assert batches(stream) == [("a", 8), ("a", 5), ("b", 8), ("b", 8), ("b", 1)]


def test_a_change_of_name_cuts_a_batch_short_where_it_is_the_boundary() -> None:
    stream: Stream = [samples(13, task="a"), samples(17, 13, task="b"), samples(1, 30, task="a")]
    by_name = batches(stream, boundaries={"mode": "task-name"})
    assert by_name == [("a", 8), ("a", 5), ("b", 8), ("b", 8), ("b", 1), ("a", 1)]


def test_the_end_cuts_a_batch_short_and_is_a_boundary() -> None:
    state, heard = learn(memory_broker([samples(3, task="a"), End("end")]), settings())
    assert [event.samples for event in heard.heard(events.BatchLearned)] == [3]
    assert (state.ledger.consolidations, state.ledger.tasks.active) == (1, None)
    assert (heard.checkpoints, heard.published) == (1, 1)
    assert heard.events[-1] == events.StreamEnded(step=1, samples=3)


def test_a_boundary_with_nothing_trained_since_the_last_is_remembered_and_does_nothing() -> None:
    stream: Stream = [
        Boundary("before anything"),
        samples(8, task="a"),
        Boundary("1"),
        Boundary("2", next_task="b"),
        samples(2, 900, bad=(0, 1)),
        Boundary("3", next_task="c"),
        samples(8, 8),
    ]
    state, heard = learn(memory_broker([*stream, End("end")]), settings())
    assert state.ledger.consolidations == 2
    assert state.ledger.tasks.event_ids == ["before anything", "1", "2", "3", "end"]
    assert [task.name for task in state.ledger.tasks.known] == ["a", "c"]
    assert (heard.checkpoints, heard.published) == (2, 2)


def test_after_the_end_it_goes_on_with_what_comes_then() -> None:
    stream: Stream = [samples(8, task="a"), End("1"), samples(8, 8, task="b"), End("2")]
    broker = memory_broker(stream)
    state, heard = learn(broker, settings(), until_end=False, host=Listener(stop_after=2))
    assert [event.step for event in heard.heard(events.StreamEnded)] == [1]
    assert (state.ledger.samples, state.ledger.ended) == (16, False)
    again, heard = learn(broker, settings(), state=state)
    assert [event.step for event in heard.heard(events.StreamEnded)] == [2]
    assert again.ledger.ended


def test_started_again_behind_the_end_it_returns_at_once() -> None:
    broker = memory_broker([samples(8, task="a"), End("1")])
    state, _ = learn(broker, settings())
    before = contents(state)
    state, heard = learn(broker, settings(), state=state)
    assert heard.events == []
    assert contents(state) == before


def test_an_empty_stream_ends_with_nothing_learned() -> None:
    state, heard = learn(memory_broker([End("end")]), settings(learner={"shadow": "none"}))
    assert (state.ledger.steps, state.ledger.consolidations, heard.checkpoints) == (0, 0, 1)
    assert heard.events == [events.StreamEnded(step=0, samples=0)]


def test_old_tasks_are_measured_in_turn_and_all_of_them_at_a_boundary() -> None:
    stream: Stream = []
    for task in "abcd":
        stream += [
            samples(4, 900, task=task, role="holdout"),
            samples(32, task=task),
            Boundary(task),
        ]
    chosen = settings(holdout={"evaluation_interval_steps": 1})
    _, heard = learn(memory_broker([*stream, End("end")]), chosen)
    told = [e for e in heard.events if isinstance(e, events.Evaluated | events.Consolidated)]
    measured = "".join(e.task if isinstance(e, events.Evaluated) else "|" for e in told)
    assert measured == "aaaaa|babababaab|cbcacbcaabc|dbdcdadbabcd|"


def test_forgetting_is_the_best_at_any_boundary_so_far_less_the_accuracy_now() -> None:
    chosen = settings(
        model=DIGITS, learner={"shadow": "none"}, holdout={"evaluation_interval_steps": 4}
    )
    _, heard = learn(memory_broker(digits_stream()), chosen)
    best: dict[tuple[str, str], float] = {}
    names: list[str] = []
    told = 0
    for event in heard.events:
        if isinstance(event, events.TaskOpened):
            names.append(event.task)
        if isinstance(event, events.Evaluated):
            before = best.get((event.track, event.task))
            assert event.forgetting == (None if before is None else before - event.accuracy)
            told += before is not None
        if isinstance(event, events.Consolidated):
            for name, accuracy in zip(names, event.row, strict=True):
                assert accuracy is not None
                key = (event.track, name)
                best[key] = max(accuracy, best.get(key, 0.0))
    assert told > 20


class Examiner(Listener):
    """Asks every learner for itself, at each measurement, and keeps its best answers."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state
        self.best: dict[tuple[str, str], Any] = {}
        self.now: dict[tuple[str, str], Any] = {}
        self.compared: list[tuple[float, float]] = []

    def emit(self, event: events.Event) -> None:
        super().emit(event)
        if isinstance(event, events.Evaluated):
            task = self.state.ledger.tasks.find(event.task)
            assert task is not None
            (learner,) = (one.learner for one in self.state.tracks if one.name == event.track)
            inputs, labels = self.state.holdouts.sets[event.task]
            now = (learner.predict(inputs, task.head).argmax(1) == labels).numpy()
            self.now[event.track, event.task] = now
            best = self.best.get((event.track, event.task))
            if best is None:
                assert event.forgetting_standard_error is None
            else:
                difference = best.astype(float) - now
                error = difference.std() / np.sqrt(len(now))
                assert event.forgetting == pytest.approx(difference.mean())
                assert event.forgetting_standard_error == pytest.approx(error)
                self.compared.append((error, event.standard_error))
        if isinstance(event, events.Consolidated):
            for key, now in self.now.items():
                if key[0] == event.track and now.mean() >= self.best.get(key, now).mean():
                    self.best[key] = now


def test_the_error_of_forgetting_is_that_of_the_difference_sample_by_sample() -> None:
    chosen = settings(
        model=DIGITS, learner={"shadow": "none"}, holdout={"evaluation_interval_steps": 4}
    )
    broker = memory_broker(digits_stream())
    state = State(chosen, broker.stream_id(STREAM))
    _, heard = learn(broker, chosen, state=state, host=(host := Examiner(state)))
    assert heard is host
    assert len(host.compared) > 20
    errors, of_accuracy = np.array(host.compared).T
    assert np.unique(errors).size > 10
    assert (errors < of_accuracy).any()  # most of what chance does cancels out


@pytest.mark.parametrize("stop_after", [20, 40])
def test_after_a_stop_forgetting_is_told_with_the_error_that_it_would_have_had(
    stop_after: int, tmp_path: Path
) -> None:
    chosen = settings(model=DIGITS, holdout={"evaluation_interval_steps": 4})
    broker = memory_broker(digits_stream())
    _, whole = learn(broker, chosen)
    stopped, first = learn(broker, chosen, host=Listener(stop_after))
    resumed = reloaded(stopped, CheckpointStore(tmp_path))
    _, second = learn(broker, chosen, state=resumed)
    told = [*first.heard(events.Evaluated), *second.heard(events.Evaluated)]
    assert told == whole.heard(events.Evaluated)
    errors = [one.forgetting_standard_error for one in second.heard(events.Evaluated)]
    assert [one for one in errors if one]


def test_a_silent_stream_without_boundaries_is_one_task_that_the_end_ends() -> None:
    state = learned(digits_stream(boundaries="silent"), settings(model=DIGITS))
    assert [task.name for task in state.ledger.tasks.known] == ["task-1"]
    assert (state.ledger.samples, state.ledger.consolidations) == (867, 1)
    assert [*state.holdouts.sets] == ["task-1"]


def test_progress_is_told_at_a_boundary_however_short_the_task_was() -> None:
    stream: Stream = [samples(9, task="a"), Boundary("1"), samples(3, 9, task="b"), End("end")]
    _, heard = learn(memory_broker(stream), settings(learner={"shadow": "none"}))
    told = [(event.track, event.task, event.tested) for event in heard.heard(events.Progress)]
    assert told == [("main", "a", 9), ("shadow", "a", 9), ("main", "b", 3), ("shadow", "b", 3)]


def test_progress_is_told_whole_at_a_boundary_that_comes_first_after_a_resume(
    tmp_path: Path,
) -> None:
    chosen = settings(learner={"shadow": "none"})
    broker = memory_broker([samples(16, task="a"), Boundary("1"), End("end")])
    stopped, _ = learn(broker, chosen, host=Listener(stop_after=2))
    assert stopped.ledger.samples == 16
    resumed = reloaded(stopped, CheckpointStore(tmp_path))
    _, heard = learn(broker, chosen, state=resumed)
    told = [(event.track, event.tested) for event in heard.heard(events.Progress)]
    assert told == [("main", 16), ("shadow", 16)]


class Noting(Listener):
    """Notes the place of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[int] = []

    def in_flight(self, batch: Batch) -> AbstractContextManager[None]:
        self.places.append(batch.place)
        return super().in_flight(batch)


def test_a_task_whose_only_batch_is_in_quarantine_ends_like_any_other() -> None:
    chosen = settings(learner={"shadow": "none"})
    held = [samples(3, 900, task=task, role="holdout") for task in "ab"]
    stream: Stream = [held[0], samples(8, task="a"), Boundary("1")]
    stream += [held[1], samples(8, 8, task="b"), End("2")]
    broker = memory_broker(stream)
    _, noting = learn(broker, chosen, host=Noting())
    assert isinstance(noting, Noting)
    state = State(chosen, broker.stream_id(STREAM))
    state.ledger.quarantined.append(Quarantined(place=noting.places[1]))
    _, heard = learn(broker, chosen, state=state)
    assert [event.task for event in heard.heard(events.BatchQuarantined)] == ["b"]
    assert [event.task for event in heard.heard(events.Consolidated)] == [*"aabb"]
    assert (state.ledger.samples, state.ledger.consolidations) == (8, 2)


def test_every_trained_sample_was_tested_first_and_counted_once() -> None:
    state, heard = learn(memory_broker(digits_stream()), settings(model=DIGITS))
    tested = state.measures()["main"].prequential.tasks
    received = sum(e.samples for e in heard.heard(events.Received) if e.role == "train")
    assert sum(one.samples for one in tested.values()) == received == state.ledger.samples
    assert all(0 < one.wrong < one.samples and one.loss > 0 for one in tested.values())


def with_huge(batches: Sequence[int]) -> Stream:
    """Eight batches, of which these have inputs that no gradient can be computed for."""
    message = samples(64, task="a")
    inputs = message.inputs.astype(np.float32)
    for batch in batches:
        inputs[8 * batch : 8 * batch + 8] = 3e38
    return [replace(message, inputs=inputs), End("end")]


FLOAT: dict[str, Any] = {"model": {"dtype": "float32"}, "learner": {"shadow": "none"}}


def test_a_batch_whose_gradient_is_not_finite_changes_nothing_and_is_counted() -> None:
    without = samples(64, task="a")
    keep = [row for row in range(64) if row // 8 not in (1, 4)]
    inputs, labels = without.inputs[keep].astype(np.float32), without.labels[keep]
    clean = learned([replace(without, inputs=inputs, labels=labels), End("end")], settings(**FLOAT))
    state, heard = learn(memory_broker(with_huge([1, 4])), settings(**FLOAT))
    assert {name: digest(one) for name, one in state.tensors().items()} == {
        name: digest(one) for name, one in clean.tensors().items()
    }
    assert state.measures() == clean.measures()
    assert (state.ledger.skipped, state.ledger.skipped_in_a_row) == (2, 0)
    assert (state.ledger.steps, state.ledger.samples) == (6, 48)
    skipped = [(e.track, e.samples, e.behind) for e in heard.heard(events.BatchSkipped)]
    places = [{0: (0, 16)}, {0: (0, 40)}]
    assert skipped == [(track, 8, at) for at in places for track in ("main", "shadow")]


def test_three_of_them_in_a_row_stop_the_learner_and_say_what_to_do() -> None:
    learn(memory_broker(with_huge([2, 3, 5, 6])), settings(**FLOAT))
    with pytest.raises(NotFinite) as raised:
        learn(memory_broker(with_huge([3, 4, 5])), settings(**FLOAT))
    assert "up to offsets 0:0.48 of task 'a'; none of them changed a weight" in str(raised.value)
