from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from si_stream.errors import DataError, SettingsError
from si_stream.messages.kinds import SampleSchema
from simulators.changes import Permutation
from simulators.datasets import Dataset
from simulators.options import ScenarioName
from simulators.scenarios import (
    Purpose,
    SampleSet,
    Task,
    load_own_scenario,
    load_scenario,
    permuted,
    random_generator,
    split,
)

PAIRS = [("a", "b"), ("c", "d"), ("f", "e")]


def taken(samples: SampleSet) -> tuple[np.ndarray, np.ndarray]:
    return samples.take(np.arange(len(samples)))


def numbers(images: np.ndarray) -> list[int]:
    flat = images.reshape(len(images), -1).astype(int)
    values: list[int] = (flat[:, 0] * 256 + flat[:, 1]).tolist()
    return values


def pixels_of(task: Task) -> list[int]:
    assert isinstance(task.train.change, Permutation)
    pixels: list[int] = task.train.change.pixels.tolist()
    return pixels


def test_tasks_partition_the_samples_of_their_classes(tiny_dataset: Dataset) -> None:
    scenario = split("tiny", tiny_dataset, PAIRS, "letters")
    train = [number for task in scenario.tasks for number in numbers(taken(task.train)[0])]
    test = [number for task in scenario.tasks for number in numbers(taken(task.test)[0])]
    assert sorted(train) == list(range(300))
    assert sorted(test) == list(range(300, 360))


def test_labels_count_from_zero_in_the_order_of_the_group(tiny_dataset: Dataset) -> None:
    task = split("tiny", tiny_dataset, PAIRS, "letters").tasks[2]
    assert task.name == "letters-f-e"
    assert task.classes == ("f", "e")
    images, labels = taken(task.train)
    original = tiny_dataset.train_labels[numbers(images)]
    assert np.array_equal(np.array([5, 4])[labels], original)


def test_a_group_too_long_for_a_name_is_named_by_its_first_and_last_class() -> None:
    count = 60
    dataset = Dataset(
        name="wide",
        train_images=np.zeros((count, 2), np.uint8),
        train_labels=np.arange(count),
        test_images=np.zeros((0, 2), np.uint8),
        test_labels=np.zeros(0, np.int64),
        class_names=tuple(str(number) for number in range(count)),
    )
    groups = [dataset.class_names[:50], dataset.class_names[50:]]
    names = [task.name for task in split("wide", dataset, groups, "labels").tasks]
    assert names == ["labels-0-to-49", "labels-50-51-52-53-54-55-56-57-58-59"]


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [
        ([], "no class"),
        ([("a",), ()], "no class"),
        ([("a", "z")], "no class 'z'; its classes are a, b, c"),
        ([("a", "a")], "'a' is named twice"),
        ([("a", "b"), ("b", "c")], "'b' is named twice"),
    ],
)
def test_groups_that_do_not_fit_are_refused(
    tiny_dataset: Dataset, groups: list[tuple[str, ...]], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        split("tiny", tiny_dataset, groups, "letters")


def test_a_task_without_training_samples_is_refused(tiny_dataset: Dataset) -> None:
    dataset = Dataset(
        "odd",
        tiny_dataset.train_images[:4],
        tiny_dataset.train_labels[:4],
        tiny_dataset.test_images,
        tiny_dataset.test_labels,
        tiny_dataset.class_names,
    )
    with pytest.raises(DataError, match="no training sample for task 'letters-f-e'"):
        split("odd", dataset, PAIRS, "letters")


def test_the_first_permutation_is_the_identity(tiny_dataset: Dataset) -> None:
    task = permuted("tiny", tiny_dataset, 3, seed=0).tasks[0]
    assert task.name == "permutation-0"
    assert np.array_equal(taken(task.train)[0], tiny_dataset.train_images)


def test_a_permutation_moves_every_pixel_of_every_image_alike(tiny_dataset: Dataset) -> None:
    first, second, third = permuted("tiny", tiny_dataset, 3, seed=0).tasks
    for task in (second, third):
        pixels = pixels_of(task)
        assert sorted(pixels) == list(range(12))
        for permuted_set, plain_set in ((task.train, first.train), (task.test, first.test)):
            plain, labels = taken(plain_set)
            moved, moved_labels = taken(permuted_set)
            assert moved.shape == plain.shape
            assert np.array_equal(labels, moved_labels)
            back = np.argsort(pixels)
            assert np.array_equal(moved.reshape(-1, 12)[:, back], plain.reshape(-1, 12))
    assert not np.array_equal(taken(second.train)[0], taken(third.train)[0])
    assert not np.array_equal(taken(second.train)[0], taken(first.train)[0])


def test_permutations_are_decided_by_the_seed_and_not_by_how_many_there_are(
    tiny_dataset: Dataset,
) -> None:
    few, many, other = (
        pixels_of(permuted("tiny", tiny_dataset, count, seed).tasks[2])
        for count, seed in ((3, 5), (9, 5), (3, 6))
    )
    assert few == many != other


def test_random_numbers_stay_what_they_were() -> None:
    """Another order of the samples would be another benchmark, under the same seed."""
    drawn = random_generator(7, Purpose.ORDER, task=1, epoch=2).permutation(10)
    assert drawn.tolist() == [0, 4, 7, 3, 6, 1, 5, 2, 9, 8]


def test_tasks_share_the_images_of_their_data_set(tiny_dataset: Dataset) -> None:
    for scenario in (
        split("tiny", tiny_dataset, PAIRS, "letters"),
        permuted("tiny", tiny_dataset, 50, seed=0),
    ):
        assert all(task.train.images is tiny_dataset.train_images for task in scenario.tasks)
        assert all(task.test.images is tiny_dataset.test_images for task in scenario.tasks)


def test_the_schema_is_the_widest_tasks(tiny_dataset: Dataset) -> None:
    scenario = split("tiny", tiny_dataset, [("a", "b"), ("c", "d", "e")], "letters")
    assert scenario.schema == SampleSchema((3, 4), "uint8", 3)


def test_ones_own_data_become_tasks_by_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "my data (2).npz"
    images = np.zeros((60, 5), np.float32)
    np.savez(path, images=images, labels=np.repeat([10, 20, 30, 40, 50, 60], 10))
    scenario = load_own_scenario(path, "10, 20/ 60,50 /30")
    assert scenario.name == "my-data--2-"
    assert [task.name for task in scenario.tasks] == ["labels-10-20", "labels-60-50", "labels-30"]
    assert [len(task.train) for task in scenario.tasks] == [18, 18, 9]
    assert [len(task.test) for task in scenario.tasks] == [2, 2, 1]
    assert scenario.schema == SampleSchema((5,), "float32", 2)
    assert len(load_own_scenario(path, "10,20/60,50/30", task_count=2).tasks) == 2
    for groups in ("10,70", "10//20", "", "10/10"):
        with pytest.raises(SettingsError):
            load_own_scenario(path, groups)
    with pytest.raises(SettingsError, match="has 2 tasks, not 3"):
        load_own_scenario(path, "10/20", task_count=3)


def test_split_digits_needs_no_file(tmp_path: Path) -> None:
    scenario = load_scenario("split-digits", directory=tmp_path)
    assert [task.name for task in scenario.tasks] == [
        "digits-0-1",
        "digits-2-3",
        "digits-4-5",
        "digits-6-7",
        "digits-8-9",
    ]
    assert scenario.tasks[2].classes == ("4", "5")
    assert scenario.schema == SampleSchema((8, 8), "uint8", 2)
    assert sum(len(task.train) + len(task.test) for task in scenario.tasks) == 1797


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("permuted-digits", [f"permutation-{number}" for number in range(10)]),
        ("rotated-digits", [f"rotation-{degrees}" for degrees in (0, 45, 90, 135, 180)]),
        ("inverted-digits", ["plain", "inverted"]),
        ("contrast-digits", [f"contrast-{percent}" for percent in (100, 40, 20, 10)]),
        ("stationary-digits", ["stationary"]),
    ],
)
def test_digits_are_changed_from_task_to_task_and_keep_their_labels(
    name: ScenarioName, tasks: list[str], tmp_path: Path
) -> None:
    scenario = load_scenario(name, directory=tmp_path)
    assert [task.name for task in scenario.tasks] == tasks
    assert scenario.schema == SampleSchema((8, 8), "uint8", 10)
    plain = load_scenario("stationary-digits").tasks[0]
    seen = set()
    for task in scenario.tasks:
        for part, plain_part in ((task.train, plain.train), (task.test, plain.test)):
            images, labels = taken(part)
            assert np.array_equal(labels, taken(plain_part)[1])
            assert images.shape == taken(plain_part)[0].shape
            seen.add(images.tobytes())
    assert len(seen) == 2 * len(tasks)
    assert np.array_equal(taken(scenario.tasks[0].train)[0], taken(plain.train)[0])
    assert len(load_scenario(name, task_count=1).tasks) == 1


def test_every_scenario_has_a_name_that_can_be_loaded(mnist_root: Path, cifar_root: Path) -> None:
    for name in get_args(ScenarioName):
        directory = cifar_root if "cifar" in name else mnist_root
        scenario = load_scenario(name, task_count=1, directory=directory)
        assert scenario.name == name
        assert len(scenario.tasks) == 1


@pytest.mark.parametrize("task_count", [0, 6])
def test_a_number_of_tasks_that_there_are_not_is_refused(task_count: int) -> None:
    with pytest.raises(SettingsError, match=str(task_count)):
        load_scenario("split-digits", task_count=task_count)


def test_split_mnist_is_five_pairs_of_digits(mnist_root: Path) -> None:
    scenario = load_scenario("split-mnist", directory=mnist_root)
    assert scenario.schema == SampleSchema((28, 28), "uint8", 2)
    assert [len(task.train) for task in scenario.tasks] == [12665, 12089, 11263, 12183, 11800]
    assert sum(len(task.test) for task in scenario.tasks) == 10_000


def test_permuted_mnist_has_as_many_tasks_as_asked_for(mnist_root: Path) -> None:
    assert len(load_scenario("permuted-mnist", directory=mnist_root).tasks) == 10
    scenario = load_scenario("permuted-mnist", directory=mnist_root, task_count=12)
    assert scenario.tasks[-1].name == "permutation-11"
    assert scenario.schema == SampleSchema((28, 28), "uint8", 10)
    assert {len(task.train) for task in scenario.tasks} == {60_000}


def test_split_cifar_is_cifar_10_and_half_of_cifar_100(cifar_root: Path) -> None:
    scenario = load_scenario("split-cifar", directory=cifar_root)
    assert [task.name for task in scenario.tasks] == [
        "cifar-10",
        "cifar-100-0-9",
        "cifar-100-10-19",
        "cifar-100-20-29",
        "cifar-100-30-39",
        "cifar-100-40-49",
    ]
    assert [len(task.train) for task in scenario.tasks] == [50_000, *[5_000] * 5]
    assert [len(task.test) for task in scenario.tasks] == [10_000, *[1_000] * 5]
    assert scenario.tasks[1].classes[0] == "apple"
    assert scenario.schema == SampleSchema((3, 32, 32), "uint8", 10)
