from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest

from si_stream.brokers.interface import Envelope
from si_stream.errors import BrokerError
from si_stream.messages.codecs import decode
from si_stream.messages.kinds import Boundary, End, Message, Samples
from simulators import replay as replay_module
from simulators.datasets import Dataset
from simulators.options import ReplayOptions
from simulators.replay import Progress, dealt, envelopes, messages, replay, sample_count
from simulators.scenarios import Scenario, permuted, split

GROUPS = [("a", "b"), ("c", "d"), ("f", "e")]


@pytest.fixture
def scenario(tiny_dataset: Dataset) -> Scenario:
    return split("tiny", tiny_dataset, GROUPS, "letters")


def digest(scenario: Scenario, options: ReplayOptions) -> str:
    whole = hashlib.sha256()
    for envelope in envelopes(scenario, options):
        for name, value in envelope.headers.items():
            whole.update(f"{name}: {value}\n".encode())
        whole.update(len(envelope.value).to_bytes(8, "big"))
        whole.update(envelope.value)
    return whole.hexdigest()


def numbers(samples: Sequence[Message], role: str = "train", task: str | None = None) -> list[int]:
    """The numbers of the images, in the order of the stream."""
    chosen = [
        message.inputs.reshape(len(message), -1)[:, :2].astype(int) @ [256, 1]
        for message in samples
        if isinstance(message, Samples) and message.role == role and message.task == task
    ]
    return np.concatenate(chosen).tolist() if chosen else []


def kinds(stream: Sequence[Message]) -> list[str]:
    """``role:task`` of each run of samples, and the boundaries and ends between them."""
    told: list[str] = []
    for message in stream:
        if isinstance(message, Samples):
            run = f"{message.role}:{message.task}"
            if not told or told[-1] != run:
                told.append(run)
        else:
            told.append(type(message).__name__.lower())
    return told


@pytest.mark.parametrize("codec", ["arrow", "json"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    scenario: Scenario, codec: str
) -> None:
    first, again, other = (
        digest(scenario, ReplayOptions.model_validate({"seed": seed, "codec": codec}))
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_an_announced_stream_has_a_boundary_after_every_task(scenario: Scenario) -> None:
    stream = list(messages(scenario, ReplayOptions(epochs_per_task=2)))
    assert kinds(stream) == [
        "holdout:letters-a-b",
        "train:letters-a-b",
        "boundary",
        "holdout:letters-c-d",
        "train:letters-c-d",
        "boundary",
        "holdout:letters-f-e",
        "train:letters-f-e",
        "boundary",
        "end",
    ]
    boundaries = [message for message in stream if isinstance(message, Boundary)]
    assert [boundary.next_task for boundary in boundaries] == ["letters-c-d", "letters-f-e", None]


def test_a_silent_stream_names_no_task_and_no_class_and_has_no_boundary(
    scenario: Scenario,
) -> None:
    stream = list(messages(scenario, ReplayOptions(boundaries="silent")))
    assert {*kinds(stream)} == {"holdout:None", "train:None", "end"}
    assert all(message.classes is None for message in stream if isinstance(message, Samples))


def test_a_silent_message_may_hold_the_end_of_a_task_and_the_beginning_of_the_next(
    scenario: Scenario,
) -> None:
    options = ReplayOptions(boundaries="silent", samples_per_message=40, holdout=False)
    stream = [m for m in messages(scenario, options) if isinstance(m, Samples)]
    assert [len(message) for message in stream] == [40] * 7 + [20]
    tasks = [{number % 6 // 2 for number in numbers([message])} for message in stream]
    assert tasks == [{0}, {0}, {0, 1}, {1}, {1}, {2}, {2}, {2}]


def test_a_silent_streams_holdout_samples_come_before_the_tasks_first_to_train_on(
    scenario: Scenario,
) -> None:
    options = ReplayOptions(boundaries="silent", samples_per_message=30)
    seen: list[tuple[str, int]] = []
    for message in messages(scenario, options):
        if isinstance(message, Samples):
            for number in numbers([message], message.role):
                if (found := (message.role, number % 6 // 2)) not in seen:
                    seen.append(found)
    assert seen == [(role, task) for task in range(3) for role in ("holdout", "train")]


def test_an_announced_and_a_silent_stream_hold_the_same_samples(scenario: Scenario) -> None:
    announced, silent = (
        [
            (message.role, image.tolist(), int(label))
            for message in messages(scenario, ReplayOptions(boundaries=boundaries))
            if isinstance(message, Samples)
            for image, label in zip(message.inputs, message.labels, strict=True)
        ]
        for boundaries in ("announced", "silent")
    )
    for role in ("train", "holdout"):
        assert [s for s in announced if s[0] == role] == [s for s in silent if s[0] == role]


def test_classes_name_what_the_labels_stand_for(scenario: Scenario) -> None:
    stream = list(messages(scenario, ReplayOptions()))
    last = [m for m in stream if isinstance(m, Samples) and m.task == "letters-f-e"]
    assert {message.classes for message in last} == {("f", "e")}
    for message in last:
        if message.role == "train":
            original = np.array(numbers([message], task="letters-f-e")) % 6
            assert np.array_equal(np.array([5, 4])[message.labels], original)


def test_each_epoch_holds_every_sample_exactly_once_in_another_order(scenario: Scenario) -> None:
    stream = list(messages(scenario, ReplayOptions(epochs_per_task=3, samples_per_message=33)))
    sent = numbers(stream, task="letters-c-d")
    epochs = [tuple(sent[first : first + 100]) for first in range(0, 300, 100)]
    own = [number for number in range(300) if number % 6 in (2, 3)]
    assert len(sent) == 300
    assert all(sorted(epoch) == own for epoch in epochs)
    assert len({*epochs, tuple(own)}) == 4


def test_tasks_are_shuffled_apart_from_each_other(tiny_dataset: Dataset) -> None:
    scenario = permuted("tiny", tiny_dataset, 2, seed=0)
    stream = list(messages(scenario, ReplayOptions()))
    for role in ("train", "holdout"):
        first, second = (
            np.concatenate(
                [
                    m.labels
                    for m in stream
                    if isinstance(m, Samples) and (m.task, m.role) == (task.name, role)
                ]
            )
            for task in scenario.tasks
        )
        assert not np.array_equal(first, second)


def test_another_seed_gives_another_order(scenario: Scenario) -> None:
    streams = [list(messages(scenario, ReplayOptions(seed=seed))) for seed in (0, 1)]
    for role in ("train", "holdout"):
        first, second = (numbers(stream, role, "letters-a-b") for stream in streams)
        assert first != second
        assert sorted(first) == sorted(second)


def test_messages_hold_as_many_samples_as_asked_for(scenario: Scenario) -> None:
    stream = list(messages(scenario, ReplayOptions(samples_per_message=40, holdout=False)))
    sizes = [len(message) for message in stream if isinstance(message, Samples)]
    assert sizes == [40, 40, 20] * 3
    stream = list(messages(scenario, ReplayOptions(samples_per_message=40, epochs_per_task=2)))
    sizes = [len(m) for m in stream if isinstance(m, Samples) and m.role == "train"]
    assert sizes == [40] * 15


def test_all_test_samples_are_sent_as_holdout_by_default(scenario: Scenario) -> None:
    stream = list(messages(scenario, ReplayOptions()))
    sent = [n for task in scenario.tasks for n in numbers(stream, "holdout", task.name)]
    assert sorted(sent) == list(range(300, 360))


def test_holdout_samples_can_be_fewer_or_none(scenario: Scenario) -> None:
    few = list(messages(scenario, ReplayOptions(holdout_samples_per_task=7)))
    none = list(messages(scenario, ReplayOptions(holdout=False)))
    all_of_them = list(messages(scenario, ReplayOptions()))
    for task in scenario.tasks:
        drawn = numbers(few, "holdout", task.name)
        assert len(set(drawn)) == 7
        assert drawn == numbers(all_of_them, "holdout", task.name)[:7]
        assert numbers(none, "holdout", task.name) == []
        trained = numbers(few, "train", task.name)
        assert trained == numbers(none, "train", task.name)


def test_event_ids_count_the_messages_of_scenario_and_seed(scenario: Scenario) -> None:
    options = ReplayOptions(seed=3)
    ids = [envelope.headers["ce_id"] for envelope in envelopes(scenario, options)]
    assert ids == [f"tiny/seed-3/{index:06d}" for index in range(len(ids))]
    told = [m.event_id for m in messages(scenario, options) if isinstance(m, Boundary | End)]
    assert told == [ids[2], ids[5], ids[8], ids[9]]


def test_envelopes_do_not_tell_the_time(scenario: Scenario) -> None:
    assert not any("ce_time" in e.headers for e in envelopes(scenario, ReplayOptions()))


def test_the_end_can_be_left_out(scenario: Scenario) -> None:
    assert not any(isinstance(m, End) for m in messages(scenario, ReplayOptions(end=False)))


@pytest.mark.parametrize("codec", ["arrow", "json"])
def test_envelopes_decode_to_the_messages(scenario: Scenario, codec: str) -> None:
    options = ReplayOptions.model_validate({"codec": codec})
    for message, envelope in zip(
        messages(scenario, options), envelopes(scenario, options), strict=True
    ):
        decoded = decode(envelope.headers, envelope.value, scenario.schema, max_bytes=10**6)
        if isinstance(message, Samples):
            assert isinstance(decoded, Samples)
            assert np.array_equal(decoded.inputs, message.inputs)
            assert np.array_equal(decoded.labels, message.labels)
            assert (decoded.task, decoded.role) == (message.task, message.role)
            assert decoded.classes == message.classes
        else:
            assert decoded == message


@pytest.mark.parametrize(
    "options",
    [
        ReplayOptions(),
        ReplayOptions(epochs_per_task=4, holdout=False),
        ReplayOptions(holdout_samples_per_task=7, boundaries="silent"),
        ReplayOptions(holdout_samples_per_task=1000),
        ReplayOptions(boundary_jitter_samples=30, drift_samples=20, label_noise=0.1),
    ],
)
def test_the_number_of_samples_is_known_in_advance(
    scenario: Scenario, options: ReplayOptions
) -> None:
    sent = sum(len(m) for m in messages(scenario, options) if isinstance(m, Samples))
    assert sent == sample_count(scenario, options)


def test_messages_are_made_one_at_a_time(scenario: Scenario) -> None:
    endless = messages(scenario, ReplayOptions(epochs_per_task=10**9))
    assert len(list(islice(endless, 3))) == 3


def test_memory_does_not_grow_with_the_epochs() -> None:
    images = np.zeros((4_000, 28, 28), np.uint8)
    labels = np.arange(4_000) % 2
    dataset = Dataset("plain", images, labels, images[:2], labels[:2], ("0", "1"))
    scenario = permuted("plain", dataset, 3, seed=0)
    tracemalloc.start()
    try:
        for _ in envelopes(scenario, ReplayOptions(epochs_per_task=5)):
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < images.nbytes / 2


class Recorder:
    """A sink that remembers its batches, all of partition 0."""

    def __init__(self) -> None:
        self.batches: list[list[Envelope]] = []

    def __call__(self, partition: int, batch: Sequence[Envelope]) -> None:
        assert partition == 0
        self.batches.append(list(batch))

    @property
    def envelopes(self) -> list[Envelope]:
        return [envelope for batch in self.batches for envelope in batch]


def test_a_replay_sends_all_envelopes_in_order(scenario: Scenario) -> None:
    sink = Recorder()
    done = replay(scenario, ReplayOptions(), sink)
    assert sink.envelopes == list(envelopes(scenario, ReplayOptions()))
    assert done == Progress(360, 360, len(sink.envelopes), "letters-f-e", finished=True)


def test_batches_are_bounded_by_their_bytes(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "BATCH_BYTES", 5_000)
    options = ReplayOptions(samples_per_message=10)
    sink, shown = Recorder(), list[Progress]()
    replay(scenario, options, sink, progress=shown.append)
    assert len(sink.batches) > 1
    for batch in sink.batches:
        assert sum(len(envelope.value) for envelope in batch[:-1]) < 5_000
    assert sink.envelopes == list(envelopes(scenario, options))
    assert [progress.messages for progress in shown] == [
        sum(map(len, sink.batches[: count + 1])) for count in range(len(sink.batches))
    ]
    assert [progress.samples for progress in shown] == sorted({p.samples for p in shown} | {360})


def test_the_pace_changes_the_batches_and_not_the_stream(scenario: Scenario) -> None:
    fast, paced = ReplayOptions(), ReplayOptions(rate_samples_per_second=1_000)
    sink = Recorder()
    replay(scenario, paced, sink)
    assert len(sink.batches) >= 3  # 100 samples are due each 0.1 s, and nothing waits for more
    assert sink.envelopes == list(envelopes(scenario, fast))


def test_a_stopped_replay_has_sent_a_beginning_of_the_stream(scenario: Scenario) -> None:
    options = ReplayOptions(samples_per_message=10, rate_samples_per_second=1_000)
    sink, stop = Recorder(), threading.Event()

    def stop_after_100(progress: Progress) -> None:
        if progress.samples >= 100:
            stop.set()

    done = replay(scenario, options, sink, progress=stop_after_100, stop=stop.is_set)
    sent = sink.envelopes
    assert not done.finished
    assert done.messages == len(sent)
    assert 100 <= done.samples < 360
    assert sent == list(islice(envelopes(scenario, options), len(sent)))


def test_a_slow_replay_can_be_stopped_while_it_waits(scenario: Scenario) -> None:
    options = ReplayOptions(rate_samples_per_second=1e-6)
    sink = Recorder()
    done = replay(scenario, options, sink, stop=lambda: bool(sink.batches))
    assert (done.messages, done.finished) == (1, False)


def test_a_stop_after_the_last_message_is_none(scenario: Scenario) -> None:
    sink = Recorder()
    done = replay(scenario, ReplayOptions(), sink, stop=lambda: bool(sink.batches))
    assert done.finished


def test_a_sinks_error_ends_the_replay(scenario: Scenario) -> None:
    def full(_partition: int, _batch: Sequence[Envelope]) -> None:
        raise BrokerError("the disk is full: make room")

    with pytest.raises(BrokerError, match="disk is full"):
        replay(scenario, ReplayOptions(), full)


def test_samples_are_dealt_in_turn_from_the_first_on_after_each_boundary(
    scenario: Scenario,
) -> None:
    stream = list(messages(scenario, ReplayOptions(samples_per_message=40)))
    to = "".join(str(number) for _, partitions in dealt(stream, 3) for number in partitions)
    # One message of holdout samples, three of training samples, a boundary, thrice; and the end.
    assert to == "0120012" * 3 + "012"
    assert [message for message, _ in dealt(stream, 3)] == stream


@pytest.mark.parametrize("batch_bytes", [1, 5_000, 10**9])
def test_several_partitions_get_the_envelopes_of_one_and_every_boundary(
    scenario: Scenario, batch_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "BATCH_BYTES", batch_bytes)
    options = ReplayOptions(samples_per_message=40, partitions=3)
    sent: list[list[Envelope]] = [[], [], []]
    shown: list[Progress] = []
    done = replay(scenario, options, lambda n, batch: sent[n].extend(batch), progress=shown.append)
    expected: list[list[Envelope]] = [[], [], []]
    stream = messages(scenario, options)
    alone = envelopes(scenario, ReplayOptions(samples_per_message=40))
    for (_, partitions), envelope in zip(dealt(stream, 3), alone, strict=True):
        for partition in partitions:
            expected[partition].append(envelope)
    assert sent == expected
    assert done == Progress(360, 360, 16, "letters-f-e", finished=True)
    boundaries = [
        [e.headers["ce_id"] for e in one if "boundary" in e.headers["ce_type"]] for one in sent
    ]
    assert boundaries[0] == boundaries[1] == boundaries[2]
    assert len(boundaries[0]) == 3
