from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from si_stream.errors import SettingsError
from si_stream.messages.kinds import Boundary, Message, Samples
from simulators.datasets import Dataset
from simulators.options import ReplayOptions
from simulators.replay import messages
from simulators.scenarios import Scenario, load_scenario, permuted, split
from simulators.sequences import sequenced
from simulators.stretches import true_boundaries

EVERY: list[dict[str, Any]] = [
    {},
    {"epochs_per_task": 3},
    {"boundary_jitter_samples": 31},
    {"drift_samples": 40},
    {"label_noise": 0.3},
    {
        "epochs_per_task": 2,
        "boundary_jitter_samples": 17,
        "drift_samples": 60,
        "label_noise": 0.2,
        "samples_per_message": 7,
        "seed": 5,
    },
]


@pytest.fixture
def scenario(tiny_dataset: Dataset) -> Scenario:
    """Tasks of 100 training samples each, the letters of whose images tell which."""
    return split("tiny", tiny_dataset, [("a", "b"), ("c", "d"), ("f", "e")], "letters")


def trained(stream: Sequence[Message]) -> tuple[np.ndarray, np.ndarray]:
    """The images' numbers and the labels of the training samples, in order."""
    chosen = [one for one in stream if isinstance(one, Samples) and one.role == "train"]
    images = np.concatenate([one.inputs.reshape(len(one), -1) for one in chosen]).astype(int)
    return images[:, 0] * 256 + images[:, 1], np.concatenate([one.labels for one in chosen])


def told_boundaries(stream: Sequence[Message]) -> list[int]:
    places, count = [], 0
    for message in stream:
        if isinstance(message, Boundary):
            places.append(count)
        elif isinstance(message, Samples) and message.role == "train":
            count += len(message)
    return places


def task_of(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers % 6 // 2)


@pytest.mark.parametrize("chosen", EVERY, ids=lambda chosen: "+".join(chosen) or "defaults")
def test_told_and_silent_streams_train_on_the_same_samples_in_the_same_order(
    scenario: Scenario, chosen: dict[str, Any]
) -> None:
    told, silent = (
        list(messages(scenario, ReplayOptions.model_validate({**chosen, "boundaries": boundaries})))
        for boundaries in ("announced", "silent")
    )
    for one, other in zip(trained(told), trained(silent), strict=True):
        assert np.array_equal(one, other)
    assert told_boundaries(silent) == []


@pytest.mark.parametrize("chosen", EVERY, ids=lambda chosen: "+".join(chosen) or "defaults")
def test_true_boundaries_are_where_an_announced_stream_has_them(
    scenario: Scenario, chosen: dict[str, Any]
) -> None:
    options = ReplayOptions.model_validate(chosen)
    stream = list(messages(scenario, options))
    *places, end = told_boundaries(stream)
    assert true_boundaries(scenario, options) == places
    assert end == len(trained(stream)[0])
    assert len(places) == 2


def test_images_change_gradually_too_one_sample_a_message_or_many(tiny_dataset: Dataset) -> None:
    scenario = permuted("tiny", tiny_dataset, 2, seed=0)
    one_by_one, together = (
        trained(list(messages(scenario, ReplayOptions(drift_samples=200, samples_per_message=n))))
        for n in (1, 1000)
    )
    for single, many in zip(one_by_one, together, strict=True):
        assert np.array_equal(single, many)


@pytest.mark.parametrize("jitter", [0, 31])
def test_a_true_boundary_is_the_index_of_the_next_tasks_first_sample(
    scenario: Scenario, jitter: int
) -> None:
    options = ReplayOptions(boundaries="silent", boundary_jitter_samples=jitter)
    tasks = task_of(trained(list(messages(scenario, options)))[0])
    changes = (np.flatnonzero(np.diff(tasks)) + 1).tolist()
    assert true_boundaries(scenario, options) == changes
    assert (changes == [100, 200]) == (jitter == 0)


def test_jitter_puts_boundaries_anywhere_in_a_batch_by_the_seed(scenario: Scenario) -> None:
    places = [
        true_boundaries(scenario, ReplayOptions(seed=seed, boundary_jitter_samples=15))
        for seed in range(300)
    ]
    assert {place[0] % 16 for place in places} == set(range(16))
    assert {place[1] % 16 for place in places} == set(range(16))
    assert all(85 <= first <= 100 for first, _ in places)
    assert places[7] == true_boundaries(scenario, ReplayOptions(seed=7, boundary_jitter_samples=15))


def test_of_a_gradual_change_the_onset_is_told_and_its_end_known(scenario: Scenario) -> None:
    options = ReplayOptions(boundaries="silent", drift_samples=60)
    onsets = true_boundaries(scenario, options)
    tasks = task_of(trained(list(messages(scenario, options)))[0])
    assert len(tasks) == 300
    for number, onset in enumerate(onsets):
        end = onset + 60
        assert set(tasks[end - 60 : end].tolist()) == {number, number + 1}
        after = onsets[number + 1] if number + 1 < len(onsets) else 300
        assert set(tasks[end:after].tolist()) == {number + 1}
    assert set(tasks[: onsets[0]].tolist()) == {0}


def test_each_sample_is_shown_once_an_epoch_also_through_a_gradual_change(
    scenario: Scenario,
) -> None:
    for epochs, drift in ((1, 50), (3, 150)):
        options = ReplayOptions(epochs_per_task=epochs, drift_samples=drift)
        numbers, _ = trained(list(messages(scenario, options)))
        assert np.array_equal(np.bincount(numbers), np.full(300, epochs))


def test_the_next_tasks_share_rises_evenly_from_none_to_all() -> None:
    images, labels = np.zeros((8_000, 1, 1), np.uint8), np.repeat([0, 1, 2, 3], 2_000)
    dataset = Dataset("flat", images, labels, images[:4], labels[::2_000], tuple("abcd"))
    scenario = split("flat", dataset, [("a",), ("b", "c")], "letters")
    options = ReplayOptions(drift_samples=2_000, holdout=False)
    (onset,) = true_boundaries(scenario, options)
    dataset.train_images[:2_000] = 1  # the former task's
    stream = [one for one in messages(scenario, options) if isinstance(one, Samples)]
    new = np.concatenate([one.inputs.ravel() for one in stream])[onset : onset + 2_000] == 0
    shares = new.reshape(5, 400).mean(axis=1)
    assert np.allclose(shares, [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.07)


def test_samples_are_named_for_the_next_task_from_the_onset_on(scenario: Scenario) -> None:
    options = ReplayOptions(drift_samples=60, holdout=False, samples_per_message=1)
    names = [one.task for one in messages(scenario, options) if isinstance(one, Samples)]
    first, second = true_boundaries(scenario, options)
    assert set(names[:first]) == {"letters-a-b"}
    assert set(names[first:second]) == {"letters-c-d"}
    assert set(names[second:]) == {"letters-f-e"}


def test_noise_is_drawn_anew_in_each_epoch_from_the_tasks_own_labels() -> None:
    scenario = load_scenario("split-digits", task_count=2)
    clean, noise = (
        trained_labels(scenario, ReplayOptions(epochs_per_task=4, label_noise=share))
        for share in (0.0, 0.2)
    )
    wrong = clean != noise
    assert abs(wrong.mean() - 0.2) < 0.03
    assert set(noise.tolist()) == {0, 1}
    count = len(scenario.tasks[0].train)
    per_sample: dict[bytes, list[bool]] = {}
    stream = messages(scenario, ReplayOptions(epochs_per_task=4, holdout=False))
    inputs = np.concatenate([one.inputs for one in stream if isinstance(one, Samples)])
    for image, is_wrong in zip(inputs[: 4 * count], wrong, strict=False):
        per_sample.setdefault(image.tobytes(), []).append(bool(is_wrong))
    assert max(sum(shown) for shown in per_sample.values()) < 4
    assert sum(any(shown) for shown in per_sample.values()) > 0.45 * len(per_sample)


def trained_labels(scenario: Scenario, options: ReplayOptions) -> np.ndarray:
    return trained(list(messages(scenario, options)))[1]


def test_held_out_samples_stay_clean(scenario: Scenario) -> None:
    held: list[list[Any]] = [
        [
            (one.inputs.tolist(), one.labels.tolist())
            for one in messages(scenario, ReplayOptions(label_noise=share))
            if isinstance(one, Samples) and one.role == "holdout"
        ]
        for share in (0.0, 1.0)
    ]
    assert held[0] == held[1] != []


def test_a_task_that_comes_again_comes_in_another_order_and_is_held_out_for_once(
    scenario: Scenario,
) -> None:
    stream = list(messages(sequenced(scenario, "ABA"), ReplayOptions()))
    numbers, _ = trained(stream)
    first, again = numbers[:100].tolist(), numbers[200:].tolist()
    assert first != again
    assert sorted(first) == sorted(again)
    held = [one.task for one in stream if isinstance(one, Samples) and one.role == "holdout"]
    assert held == ["letters-a-b", "letters-c-d"]


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        ({"drift_samples": 110}, "task 'letters-c-d' shows 100 training samples, too few for a dr"),
        ({"boundary_jitter_samples": 100_000}, "and boundaries up to 100,000 early: ask for less"),
    ],
)
def test_more_change_than_a_task_has_samples_for_is_refused(
    scenario: Scenario, chosen: dict[str, int], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        true_boundaries(scenario, ReplayOptions.model_validate(chosen))


def test_noise_without_another_label_is_refused_before_anything_is_sent(
    tiny_dataset: Dataset,
) -> None:
    scenario = split("tiny", tiny_dataset, [("a", "b"), ("c",)], "letters")
    with pytest.raises(SettingsError, match="task 'letters-c' has a single label"):
        next(messages(scenario, ReplayOptions(label_noise=0.1, holdout=False)))


def test_a_stationary_stream_has_no_boundary(tiny_dataset: Dataset) -> None:
    scenario = permuted("tiny", tiny_dataset, 1, seed=0)
    options = ReplayOptions(epochs_per_task=50, label_noise=0.05, boundaries="silent")
    assert true_boundaries(scenario, options) == []
