"""Following a learner's directory, one look at a time and under load."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from services.predictor.follower import Follower
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SUFFIX, Snapshot, SnapshotStore, Version, encode
from si_stream.errors import NoSnapshotYet
from si_stream.learning.frozen import FrozenNetwork
from si_stream.learning.options import NetworkOptions
from tests.services.predictor.serving import (
    ROWS,
    TASKS,
    Teacher,
    model_options,
    random_inputs,
    serving,
    wait_for,
)
from tests.services.test_learner_host import LIMIT_SECONDS, hosted
from tests.streams import memory_broker
from tests.test_rewinding import chosen, stream


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.teach()
    return teacher


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    return Follower(tmp_path, interval_seconds=60)


def served_version(follower: Follower) -> Version:
    return follower.current().version


def test_a_directory_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there"
    follower = Follower(directory, interval_seconds=60)
    follower.look()
    with pytest.raises(NoSnapshotYet):
        follower.current()
    teacher = Teacher(directory)
    teacher.teach()
    teacher.publish()
    follower.look()
    assert served_version(follower) == (1, 3)
    assert (follower.loads, follower.failures) == (1, 0)


def test_the_newest_is_served_and_loaded_once(teacher: Teacher, follower: Follower) -> None:
    teacher.publish()
    teacher.teach()
    teacher.publish()
    for _ in range(3):
        follower.look()
    assert served_version(follower) == (1, 6)
    assert follower.loads == 1


def test_a_second_snapshot_of_one_step_replaces_the_first(
    teacher: Teacher, follower: Follower
) -> None:
    teacher.publish(active_task="digits-2-3")
    follower.look()
    teacher.publish(active_task=None)  # the boundary after that step
    follower.look()
    assert follower.current().manifest.active_task is None
    assert follower.loads == 2


def test_an_older_epoch_never_follows_a_newer_one(
    teacher: Teacher, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish(epoch=2, step=5)
    follower.look()
    teacher.publish(epoch=1, step=100)  # a learner that was thought to be dead
    follower.look()
    assert served_version(follower) == (2, 5)
    assert caplog.text == ""


def test_a_new_epoch_is_newer_whatever_its_step(teacher: Teacher, follower: Follower) -> None:
    teacher.publish(epoch=1, step=100)
    follower.look()
    teacher.publish(epoch=2, step=5)
    follower.look()
    assert served_version(follower) == (2, 5)


def test_within_an_epoch_what_is_published_later_is_newer_whatever_its_step(
    teacher: Teacher, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish(epoch=1, step=100)
    follower.look()
    teacher.publish(epoch=1, step=99)  # behind a rewind
    for _ in range(3):
        follower.look()
    assert served_version(follower) == (1, 99)
    assert (follower.loads, caplog.text) == (2, "")


def test_a_snapshot_that_was_published_before_is_never_taken(
    teacher: Teacher, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish(step=1)
    teacher.publish(step=2)
    follower.look()
    shutil.rmtree(teacher.store.epochs)
    teacher.publish(step=3)  # by a model that was begun anew in the same directory
    for _ in range(3):
        follower.look()
    assert served_version(follower) == (1, 2)
    assert caplog.text.count("start the predictor anew") == 1


def test_what_was_learned_before_a_rewind_is_not_served_behind_it(tmp_path: Path) -> None:
    """Two worlds that nobody announces: the change is found late, and the learner goes back."""
    follower = Follower(tmp_path, interval_seconds=60)
    latest = [0]
    with hosted(memory_broker(stream(worlds=2)), chosen(tmp_path)) as (host, state):

        def stopping() -> bool:
            """After each batch, with what has been published by then."""
            if state.ledger.samples != latest[-1]:
                latest.append(state.ledger.samples)
                host.publish(state)
                assert host.publishing.wait(LIMIT_SECONDS)
                follower.look()
                assert follower.current().manifest.samples == state.ledger.samples
            return state.ledger.ended

        host.stopping = stopping  # type: ignore[method-assign]
        while host.learn(state):
            pass
    assert latest != sorted(latest)  # it was rewound


def test_what_is_served_stays_when_its_file_is_gone(teacher: Teacher, follower: Follower) -> None:
    older = teacher.publish(step=1)
    newer = teacher.publish(step=2)
    follower.look()
    newer.unlink()
    follower.look()
    assert older.exists()
    assert served_version(follower) == (1, 2)


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def with_one_bit_turned(data: bytes) -> bytes:
    return bytes([*data[:-9], data[-9] ^ 1, *data[-8:]])


@pytest.mark.parametrize("damage", [cut_short, with_one_bit_turned])
def test_a_damaged_snapshot_is_logged_and_counted_once_and_the_one_before_stays(
    damage: Any, teacher: Teacher, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish(step=1)
    follower.look()
    path = teacher.publish(step=2)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    for _ in range(3):
        follower.look()
    assert served_version(follower) == (1, 1)
    assert (follower.loads, follower.failures) == (1, 1)
    assert caplog.text.count("does not have the SHA-256") == 1
    assert "snapshot 1.1 stays" in caplog.text
    teacher.publish(step=3)
    follower.look()
    assert served_version(follower) == (1, 3)


def test_at_the_start_a_damaged_snapshot_is_passed_over_for_the_one_before(
    teacher: Teacher, follower: Follower
) -> None:
    teacher.publish(step=1)
    path = teacher.publish(step=2)
    path.write_bytes(b"")
    follower.look()
    assert served_version(follower) == (1, 1)
    assert follower.failures == 1


def test_a_snapshot_that_is_still_being_copied_is_served_when_it_is_whole(
    teacher: Teacher, follower: Follower
) -> None:
    path = teacher.publish()
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    follower.look()
    assert follower.served is None
    path.write_bytes(whole)
    follower.look()
    assert served_version(follower) == (1, 3)


def store_as(directory: Path, data: bytes) -> Path:
    """Under a name that fits, in the first epoch."""
    snapshots = directory / "epochs" / "000001" / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True)
    path = snapshots / files.name(999, files.sha256(data), SUFFIX)
    path.write_bytes(data)
    return path


def refusals(teacher: Teacher) -> dict[str, bytes]:
    good = teacher.snapshot()
    weights = good.weights
    name = next(name for name in weights if name.startswith("trunk"))
    other = model_options(network=NetworkOptions(hidden=(17,)))
    tasks = good.manifest.tasks
    manifests = {
        "other-network": good.manifest.model_copy(update={"model": other}),
        "head-missing": good.manifest.model_copy(
            update={"tasks": [*tasks, tasks[0].model_copy(update={"name": "x", "head": 7})]}
        ),
        "no-such-module": good.manifest.model_copy(
            update={
                "model": model_options(
                    network=NetworkOptions(kind="module", module="nowhere_at_all:trunk")
                )
            }
        ),
        "raising-module": good.manifest.model_copy(
            update={
                "model": model_options(
                    network=NetworkOptions(kind="module", module=f"{__name__}:raising_trunk")
                )
            }
        ),
    }
    infinite = {**weights, name: weights[name] / 0}
    return {
        "nonsense": b"nonsense",
        "empty": b"",
        "not-finite": encode(Snapshot(good.manifest, infinite)),
        "weights-missing": encode(Snapshot(good.manifest, {})),
        **{key: encode(Snapshot(manifest, weights)) for key, manifest in manifests.items()},
    }


def raising_trunk() -> torch.nn.Module:
    raise ZeroDivisionError


def a_trunk() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU())


def test_a_module_is_run_only_where_the_predictors_own_settings_name_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = f"{__name__}:a_trunk"
    network = NetworkOptions(kind="module", module=module)
    teacher = Teacher(tmp_path, model_options(network=network, dtype="float32"))
    teacher.teach()
    teacher.publish()
    for other in (None, f"{__name__}:raising_trunk"):
        wary = Follower(tmp_path, interval_seconds=60, own_module=other)
        wary.look()
        assert wary.served is None
    assert f"names the module {module!r} as its trunk" in caplog.text
    trusting = Follower(tmp_path, interval_seconds=60, own_module=module)
    trusting.look()
    assert served_version(trusting) == (1, 3)


@pytest.mark.parametrize(
    "kind",
    [
        *("nonsense", "empty", "not-finite", "weights-missing", "other-network"),
        *("head-missing", "no-such-module", "raising-module"),
    ],
)
def test_a_snapshot_that_cannot_answer_is_never_served(
    kind: str, teacher: Teacher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {"no-such-module": "nowhere_at_all:trunk"}.get(kind, f"{__name__}:raising_trunk")
    follower = Follower(tmp_path, interval_seconds=60, own_module=own)
    teacher.publish()
    store_as(teacher.store.epochs.parent, refusals(teacher)[kind])
    follower.look()
    follower.look()
    assert served_version(follower) == (1, 3)
    assert follower.failures == 1
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno >= logging.WARNING


def test_a_directory_that_cannot_be_read_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(tmp_path / ("x" * 300), interval_seconds=0.001)  # longer than a name may be
    follower.start()
    wait_for(lambda: "cannot look for snapshots" in caplog.text)
    time.sleep(0.05)  # some more looks
    follower.stop()
    assert caplog.text.count("cannot look for snapshots") == 1


def test_a_copy_of_an_epoch_under_another_name_is_passed_over(
    teacher: Teacher, follower: Follower, tmp_path: Path
) -> None:
    teacher.publish()
    follower.look()
    shutil.copytree(tmp_path / "epochs/000001", tmp_path / "epochs/000001.bak")
    teacher.teach()
    teacher.publish()
    follower.look()
    assert served_version(follower) == (1, 6)


def test_a_fault_of_ours_is_logged_once_with_its_traceback_and_ends_nothing(
    teacher: Teacher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(tmp_path, interval_seconds=0.001)
    store = follower._store
    del follower._store  # a fault as good as any
    follower.start()
    wait_for(lambda: "cannot look for snapshots" in caplog.text)
    time.sleep(0.05)  # some more looks
    follower._store = store
    teacher.publish()
    wait_for(lambda: follower.loads > 0)
    follower.stop()
    assert caplog.text.count("Traceback") == 1


def test_snapshots_are_swapped_under_load_without_a_failed_or_mixed_answer(
    tmp_path: Path,
) -> None:
    teacher = Teacher(tmp_path)
    inputs = random_inputs(teacher.model, 3)
    expected: dict[Version, list[bytes]] = {}

    def publish() -> None:
        teacher.teach(1)
        snapshot = teacher.snapshot()
        network = FrozenNetwork(snapshot.manifest.model, snapshot.weights)
        expected[snapshot.manifest.version] = [
            network.probabilities(inputs, head).tobytes() for head in range(len(TASKS))
        ]
        SnapshotStore(tmp_path).publish(snapshot, keep=2)

    publish()
    over = threading.Event()
    seen: list[list[Version]] = []
    faults: list[str] = []

    def hammer(url: str, number: int) -> None:
        versions: list[Version] = []
        head = number % len(TASKS)
        with httpx.Client(base_url=url, timeout=30) as client:
            while not over.is_set():
                response = client.post(
                    f"/predict?task={TASKS[head]}", content=inputs.tobytes(), headers=ROWS
                )
                if response.status_code != 200:
                    faults.append(response.text)
                    return
                answer = response.json()
                version = Version(**answer["version"])
                given = np.array(answer["probabilities"], np.float32).tobytes()
                if given != expected[version][head]:
                    faults.append(f"{version} answered with other weights")
                versions.append(version)
        seen.append(versions)

    with serving(tmp_path) as predictor:
        predictor.wait_until_ready()
        follower = predictor.app.prediction.follower
        threads = [threading.Thread(target=hammer, args=(predictor.url, n)) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            publish()
            wait_for(lambda: served_version(follower) == max(expected) or bool(faults))
        over.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert len(seen) == len(threads)
    for versions in seen:
        assert versions == sorted(versions)
    assert len({version for versions in seen for version in versions}) > 1
