"""A predictor that follows a learner on another machine by its URL, whatever becomes of either."""

from __future__ import annotations

import logging
import socket
from contextlib import closing
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

from services.predictor.mirror import mirror
from services.predictor.mirror.learner import SourceLearner
from si_stream.checkpoints.snapshots import SnapshotStore
from si_stream.settings import PredictorOptions
from tests.services.learner_api.serving import answers
from tests.services.predictor.mirror.following import (
    failures,
    large,
    serves,
    source,
    version,
)
from tests.services.predictor.mirror.scripted import Asked, cut_short, scripted, with_snapshot
from tests.services.predictor.serving import (
    TASKS,
    Teacher,
    random_inputs,
    serving,
    wait_for,
)
from tests.services.web.certificates import Authority


def test_the_newest_is_served_as_it_is_published(teacher: Teacher, there: str, copy: Path) -> None:
    with serving(copy, source=there) as running:
        assert version(running) is None
        published = teacher.publish()
        serves(running, 1, 3)
        teacher.teach()
        published = teacher.publish()
        serves(running, 1, 6)
        inputs = random_inputs(teacher.model, 5)
        answer = running.predict("digits-2-3", inputs).json()["predictions"]
        assert np.array_equal(
            np.array([one["probabilities"] for one in answer], np.float32),
            teacher.probabilities(inputs, 1),
        )
        told = source(running)
        assert (told["kind"], told["address"], told["reachable"]) == ("url", there, True)
        assert told["problem"] is None
    brought = SnapshotStore(copy).newest_path()
    assert brought is not None
    assert brought.name == published.name
    assert brought.read_bytes() == published.read_bytes()


def test_a_predictor_that_starts_while_the_learner_is_away_serves_what_it_had(
    teacher: Teacher, copy: Path
) -> None:
    teacher.publish()
    with answers(teacher.store.epochs.parent) as there, serving(copy, source=there) as running:
        serves(running, 1, 3)
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
        wait_for(lambda: failures(running, "away") > 0)
        told = source(running)
        assert told["reachable"] is False
        assert f"{there} cannot be reached" in told["problem"]
        assert running.predict("digits-0-1", random_inputs(teacher.model, 1)).status_code == 200


def test_a_learner_that_comes_back_is_followed_again_and_told_of_once(
    teacher: Teacher, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    teacher.publish()
    directory = teacher.store.epochs.parent
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    there = f"http://127.0.0.1:{port}"
    with serving(copy, source=there) as running:
        with answers(directory, metrics_port=port):
            serves(running, 1, 3)
        wait_for(lambda: failures(running, "away") > 1)
        teacher.publish(epoch=2)
        with answers(directory, metrics_port=port):
            serves(running, 2, 3)
            assert source(running)["reachable"] is True
            said = [one.message for one in caplog.records if one.message.startswith("snapshots")]
    assert "cannot be reached" in said[-2]
    assert said[-1] == f"snapshots of {there}: all is well again"
    assert len(said) <= 4  # away before the learner was there, well, away, well


def test_what_comes_whole_after_a_long_time_away_is_not_waited_for_as_what_is_damaged(
    teacher: Teacher, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "DAMAGED_SECONDS", 3600.0)
    path = teacher.publish()
    content = path.read_bytes()
    spoilt: list[bool] = []

    def once_altered(asked: Asked) -> None:
        answer = cut_short(content) if not spoilt else lambda one: one.answer(200, content)
        spoilt.append(True)
        answer(asked)

    with (
        scripted(lambda asked: asked.answer(502)) as learner,
        serving(copy, source=learner.url) as running,
    ):
        wait_for(lambda: failures(running, "away") > 12)  # 0.03 s, doubled each time, are minutes
        learner.script = with_snapshot(path, once_altered)
        serves(running, 1, 3)
        assert failures(running, "damaged") == 1


def test_while_a_snapshot_comes_slowly_the_learners_state_is_looked_at(
    teacher: Teacher, copy: Path
) -> None:
    path = large(teacher, pieces=4)
    content = path.read_bytes()
    looked: list[bool] = []

    def slowly(asked: Asked) -> None:
        asked.answer(200, content[:-20], Content_Length=str(len(content)))
        for place in range(len(content) - 20, len(content)):
            if any(one[1] == "/health" for one in learner.asked):
                break
            asked.wfile.write(content[place : place + 1])
            sleep(0.05)
        else:
            place = len(content)
        looked.append(place < len(content))
        asked.wfile.write(content[place:])

    with (
        scripted(with_snapshot(path, slowly)) as learner,
        serving(copy, source=learner.url) as running,
    ):
        running.wait_until_ready()
    assert looked == [True]


def test_one_connection_is_asked_on_again_and_again() -> None:
    seen: list[tuple[str, int]] = []

    def script(asked: Asked) -> None:
        seen.append(asked.client_address)
        asked.answer(304 if len(seen) % 2 else 200, Content_Length="1000")

    with scripted(script) as server:
        learner = SourceLearner(PredictorOptions(source=server.url))
        with closing(learner):
            for _ in range(4):
                with learner.asked("HEAD", "/snapshots/newest"):
                    pass
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_what_is_no_learner_is_told_of(copy: Path) -> None:
    with (
        scripted(lambda asked: asked.answer(200, b"<html>")) as learner,
        serving(copy, source=learner.url) as running,
    ):
        wait_for(lambda: failures(running, "refused") > 0)
        assert "is no learner of this version" in source(running)["problem"]


def test_a_learner_behind_a_lock_lets_in_who_has_the_token_and_knows_its_authority(
    teacher: Teacher, copy: Path, authority: Authority
) -> None:
    teacher.publish()
    pair = authority.certificate("learner")
    lock: dict[str, Any] = {
        "read_token": "open sesame",
        "tls_certificate_file": pair.certificate,
        "tls_key_file": pair.key,
    }
    trust = {"source_ca_file": authority.file}
    with answers(teacher.store.epochs.parent, tasks=TASKS, **lock) as there:
        with serving(copy, source=there) as running:
            wait_for(lambda: failures(running, "away") > 0)
            assert "certificate verify failed" in source(running)["problem"]
        with serving(copy, source=there, **trust) as running:
            wait_for(lambda: failures(running, "refused") > 0)
            assert "set predictor.source_token" in source(running)["problem"]
        with serving(copy, source=there, source_token="open sesame", **trust) as running:
            serves(running, 1, 3)
            wait_for((copy / "status.json").exists)
            assert running.client.get("/samples?task=digits-0-1").is_success
            assert "open sesame" not in running.client.get("/source").text
    kept = [path.read_bytes() for path in copy.rglob("*") if path.is_file()]
    assert not any(b"open sesame" in content for content in kept)


def test_a_fault_of_ours_is_logged_once_with_its_traceback_and_ends_nothing(
    teacher: Teacher, there: str, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish()
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
        followed = running.app.metrics.mirror
        assert followed is not None
        followed.reachable = False
        wait_for(lambda: followed.reachable)  # that look is over
        epochs = followed._snapshots._epochs
        del followed._snapshots._epochs  # a fault as good as any
        teacher.publish(epoch=2)
        wait_for(lambda: failures(running, "fault") > 2)
        followed._snapshots._epochs = epochs
        teacher.publish(epoch=3)
        serves(running, 3, 3)
    assert caplog.text.count("Traceback") == 1
