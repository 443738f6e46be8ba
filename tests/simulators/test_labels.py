from __future__ import annotations

import numpy as np

from si_stream.messages.kinds import SampleSchema
from simulators.datasets import Dataset
from simulators.labels import globally_labelled, noisy
from simulators.scenarios import load_scenario, permuted, split


def test_global_labels_count_the_classes_of_the_stream_and_tasks_add_classes(
    tiny_dataset: Dataset,
) -> None:
    local = split("tiny", tiny_dataset, [("f", "e"), ("a", "b")], "letters")
    scenario = globally_labelled(local)
    first, second = scenario.tasks
    assert (first.classes, second.classes) == (("f", "e"), ("f", "e", "a", "b"))
    assert scenario.schema == SampleSchema((3, 4), "uint8", 4)
    for task, alone in zip(scenario.tasks, local.tasks, strict=True):
        for part, part_alone in ((task.train, alone.train), (task.test, alone.test)):
            names = [task.classes[label] for label in part.labels]
            assert names == [alone.classes[label] for label in part_alone.labels]
            assert np.array_equal(part.rows, part_alone.rows)


def test_global_labels_of_split_digits_are_the_digits() -> None:
    scenario = globally_labelled(load_scenario("split-digits"))
    own = [sorted(set(task.train.labels.tolist())) for task in scenario.tasks]
    assert own == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_classes_that_all_tasks_share_keep_their_labels(tiny_dataset: Dataset) -> None:
    local = permuted("tiny", tiny_dataset, 3, seed=0)
    for task, alone in zip(globally_labelled(local).tasks, local.tasks, strict=True):
        assert task.classes == alone.classes
        assert np.array_equal(task.train.labels, alone.train.labels)
        assert task.train.change is alone.train.change


def test_noise_puts_each_of_the_other_labels_in_place_of_a_share() -> None:
    own = np.array([3, 5, 8])
    labels = np.repeat(own, 10_000)
    before = labels.copy()
    changed = noisy(labels, own, 0.2, np.random.default_rng(0))
    assert np.array_equal(labels, before)
    assert abs((changed != labels).mean() - 0.2) < 0.01
    for label in own:
        others = changed[(labels == label) & (changed != label)]
        values, counts = np.unique(others, return_counts=True)
        assert set(values.tolist()) == set(own.tolist()) - {int(label)}
        assert counts.min() > 0.45 * counts.sum()


def test_no_noise_changes_nothing_and_full_noise_everything() -> None:
    own = np.array([0, 1])
    labels = np.arange(100) % 2
    assert np.array_equal(noisy(labels, own, 0, np.random.default_rng(0)), labels)
    assert np.array_equal(noisy(labels, own, 1, np.random.default_rng(0)), 1 - labels)
