"""A predictor that follows a learner on another machine by its URL."""

from __future__ import annotations

import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

from services.journal import Journal
from services.predictor.mirror import mirror, snapshots
from services.predictor.mirror.learner import SourceLearner
from services.web.files import PIECE_BYTES
from si_stream import events
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SUFFIX, SnapshotStore
from si_stream.settings import PredictorOptions
from tests.memory import memory_within
from tests.services.learner_api.serving import answers
from tests.services.predictor.mirror.scripted import Asked, Script, scripted, with_snapshot
from tests.services.predictor.serving import (
    TASKS,
    Running,
    Teacher,
    listening,
    model_options,
    random_inputs,
    serving,
    wait_for,
)
from tests.services.statuses import a_status
from tests.services.tcp_proxy import TcpProxy
from tests.services.web.certificates import Authority


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have less patience than a predictor."""
    for wait in ("LOOK_SECONDS", "AWAY_SECONDS", "DAMAGED_SECONDS", "WATCHED_SECONDS"):
        monkeypatch.setattr(mirror, wait, 0.03)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path / "learner")
    teacher.teach()
    return teacher


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def there(teacher: Teacher) -> Iterator[str]:
    """The address of the learner."""
    with answers(teacher.store.epochs.parent, tasks=TASKS) as address:
        yield address


def version(running: Running) -> tuple[int, int] | None:
    answer = running.client.get("/healthz/ready")
    if answer.status_code != 200:
        return None
    return (answer.json()["version"]["epoch"], answer.json()["version"]["step"])


def serves(running: Running, epoch: int, step: int) -> None:
    wait_for(lambda: version(running) == (epoch, step))


def source(running: Running) -> dict[str, Any]:
    answer: dict[str, Any] = running.client.get("/source").json()
    return answer


def failures(running: Running, reason: str) -> float:
    name = f'si_stream_source_failures_total{{reason="{reason}"}} '
    lines = running.client.get("/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def goes_on_to_fail(running: Running, reason: str) -> None:
    before = failures(running, reason)
    wait_for(lambda: failures(running, reason) > before + 2)


def receives_more(running: Running) -> None:
    followed = running.app.metrics.mirror
    assert followed is not None
    before = followed.learner.received_bytes
    wait_for(lambda: followed.learner.received_bytes > before)


def cut_surely(proxy: TcpProxy) -> None:
    """Also where what still comes was on its way from a connection that is cut already."""
    before = proxy.cut_connections
    while proxy.cut_connections == before:
        sleep(0.01)
        proxy.cut()


def large(teacher: Teacher, pieces: int = 64) -> Path:
    """A snapshot that takes several pieces to send, and is served all the same."""
    wide = teacher.model.network.model_copy(update={"hidden": (pieces * PIECE_BYTES // 24,)})
    other = Teacher(teacher.store.epochs.parent, teacher.model.model_copy(update={"network": wide}))
    other.teach(1)
    return other.publish()


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


def test_of_what_is_older_nothing_is_taken_and_it_is_said_once_what_to_do(
    teacher: Teacher, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish(epoch=3)
    with answers(teacher.store.epochs.parent) as there, serving(copy, source=there) as running:
        serves(running, 3, 3)
    anew = Teacher(tmp_path / "anew")
    anew.teach(9)
    anew.publish()
    with answers(tmp_path / "anew") as there:
        for _ in range(2):  # also not at the next start
            caplog.clear()
            with serving(copy, source=there) as running:
                wait_for(lambda: failures(running, "refused") > 0)
                anew.publish()
                goes_on_to_fail(running, "refused")
                assert version(running) == (3, 3)
                assert "offers snapshot 1/" in source(running)["problem"]
            said = [record.message for record in caplog.records if "1/" in record.message]
            assert len(said) == 1
            assert f"remove {copy}, and start it again" in said[0]
        anew.publish(epoch=4)
        with serving(copy, source=there) as running:
            serves(running, 4, 9)
            assert source(running)["problem"] is None


def test_another_model_is_refused(
    teacher: Teacher, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish()
    with answers(teacher.store.epochs.parent) as there, serving(copy, source=there) as running:
        serves(running, 1, 3)
    other = Teacher(tmp_path / "other", model_options(outputs=3))
    other.teach()
    other.publish(epoch=7)
    with answers(tmp_path / "other") as there, serving(copy, source=there) as running:
        wait_for(lambda: failures(running, "refused") > 2)
        assert version(running) == (1, 3)
    said = [record.message for record in caplog.records if "another model" in record.message]
    assert len(said) == 1
    assert "they differ in outputs" in said[0]


def test_a_model_that_has_got_another_name_is_the_same(
    teacher: Teacher, there: str, copy: Path
) -> None:
    teacher.publish()
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
        teacher.publish(epoch=2, model=teacher.model.model_copy(update={"name": "renamed"}))
        serves(running, 2, 3)
        assert running.client.get("/tasks").json()["model"]["name"] == "renamed"


def test_a_download_that_breaks_off_goes_on_where_it_was(teacher: Teacher, copy: Path) -> None:
    path = large(teacher)
    content = path.read_bytes()
    half = len(content) // 2
    busy: list[bool] = []

    def breaking_off(asked: Asked) -> None:
        if "Range" in asked.headers and not busy:
            busy.append(True)  # once, and what has come stays
            asked.answer(503)
        elif "Range" in asked.headers:
            start = int(asked.headers["Range"].removeprefix("bytes=").rstrip("-"))
            told = f"bytes {start}-{len(content) - 1}/{len(content)}"
            asked.answer(206, content[start:], Content_Range=told)
        else:
            asked.answer(200, content[:half], Content_Length=str(len(content)))
            asked.close_connection = True

    with (
        scripted(with_snapshot(path, breaking_off)) as learner,
        serving(copy, source=learner.url) as running,
    ):
        running.wait_until_ready()
        first, *others = learner.downloads()
        assert "Range" not in first
        assert {one["Range"] for one in others} == {f"bytes={half}-"}
        assert {one["If-Range"] for one in others} == {f'"{path.stem.partition("-")[2]}"'}
        assert len(others) == 2
        assert version(running) == (1, 1)


def test_a_connection_that_is_cut_again_and_again_only_costs_time(
    teacher: Teacher, there: str, copy: Path
) -> None:
    path = large(teacher, pieces=96)
    with (
        TcpProxy(0, int(there.rpartition(":")[2])) as proxy,
        serving(copy, source=f"http://127.0.0.1:{proxy.port}") as running,
    ):
        for _ in range(3):
            receives_more(running)
            cut_surely(proxy)
        running.wait_until_ready()
        assert proxy.cut_connections >= 3
        assert failures(running, "damaged") == 0
    brought = SnapshotStore(copy).newest_path()
    assert brought is not None
    assert brought.read_bytes() == path.read_bytes()


def altered(content: bytes) -> Script:
    return lambda asked: asked.answer(200, bytes([content[0] ^ 1]) + content[1:])


def cut_short(content: bytes) -> Script:
    return lambda asked: asked.answer(200, content[:-9])


def too_long(content: bytes) -> Script:
    return lambda asked: asked.answer(200, content + b"more")


def lying_of_less(content: bytes) -> Script:
    def answer(asked: Asked) -> None:
        asked.close_connection = True
        asked.answer(200, content, Content_Length=str(len(content) - 9))

    return answer


def compressed(content: bytes) -> Script:
    return lambda asked: asked.answer(200, content, Content_Encoding="gzip")


def huge(content: bytes) -> Script:
    def answer(asked: Asked) -> None:
        asked.close_connection = True
        asked.answer(200, content[:9], Content_Length=str(10**15))

    return answer


def huge_without_a_length(content: bytes) -> Script:
    def answer(asked: Asked) -> None:
        asked.send_response(200)
        asked.send_header("Transfer-Encoding", "chunked")
        asked.end_headers()
        for _ in range(9):
            asked.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        asked.wfile.write(b"0\r\n\r\n")

    return answer


@pytest.mark.parametrize(
    "spoil",
    [altered, cut_short, too_long, lying_of_less, compressed, huge, huge_without_a_length],
)
def test_what_is_not_whole_is_thrown_away_and_what_is_served_stays(
    spoil: Any, teacher: Teacher, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = teacher.publish()
    teacher.teach()
    second = teacher.publish()
    contents = {path.name: path.read_bytes() for path in (first, second)}
    here = copy / "epochs/000001/snapshots"
    monkeypatch.setattr(snapshots, "LIMIT_BYTES", 3 * len(contents[second.name]))

    def whole(asked: Asked) -> None:
        asked.answer(200, contents[asked.path.rpartition("/")[2]])

    with scripted(with_snapshot(first, whole)) as learner:
        with serving(copy, source=learner.url) as running:
            serves(running, 1, 3)
            learner.script = with_snapshot(second, spoil(contents[second.name]))
            wait_for(lambda: failures(running, "damaged") > 1)
            assert version(running) == (1, 3)
            assert source(running)["problem"]
            assert [*SnapshotStore(copy).newest_first()] == [here / first.name]
            learner.script = with_snapshot(second, whole)
        with serving(copy, source=learner.url) as running:
            serves(running, 1, 6)
    assert {path.name for path in here.iterdir()} == contents.keys()


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


def test_only_the_newest_ones_are_kept(teacher: Teacher, there: str, copy: Path) -> None:
    with serving(copy, source=there) as running:
        for epoch in (1, 2, 3):
            teacher.publish(epoch=epoch)
            serves(running, epoch, 3)
    assert [path.parent.parent.name for path in SnapshotStore(copy).newest_first()] == [
        "000003",
        "000002",
    ]
    assert not (copy / "epochs/000001").exists()


def test_a_copy_that_was_altered_on_the_disk_is_downloaded_again(
    teacher: Teacher, there: str, copy: Path
) -> None:
    path = teacher.publish()
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
    brought = copy / "epochs/000001/snapshots" / path.name
    brought.write_bytes(brought.read_bytes()[:-1])
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
    assert brought.read_bytes() == path.read_bytes()


def test_to_look_at_a_large_copy_takes_no_memory(copy: Path) -> None:
    content = bytes(64 * 2**20)
    here = copy / "epochs/000001/snapshots"
    here.mkdir(parents=True)
    path = here / files.name(1, files.sha256(content), SUFFIX)
    path.write_bytes(content)
    del content
    with closing(SourceLearner(PredictorOptions(source="http://127.0.0.1:1"))) as nobody:
        copies = snapshots.SnapshotCopies(copy, nobody, lambda: False)
        with memory_within(16):
            copies.begin()
    assert copies._newest == path


@contextmanager
def full_disk(room_bytes: int = 16) -> Iterator[None]:
    """No file may grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_costs_the_newer_ones_until_there_is_room(
    teacher: Teacher, there: str, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.publish()
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
        teacher.teach()
        teacher.publish()
        with full_disk():
            wait_for(lambda: failures(running, "disk") > 2)
            assert version(running) == (1, 3)
            assert running.predict("digits-0-1", random_inputs(teacher.model, 1)).is_success
            assert f"cannot write into {copy}" in source(running)["problem"]
        serves(running, 1, 6)
        wait_for(lambda: source(running)["problem"] is None)
    said = [r.message for r in caplog.records if r.message.startswith("snapshots: cannot write")]
    assert len(said) == 1


def test_that_there_is_no_room_is_found_out_before_a_snapshot_comes(
    teacher: Teacher, copy: Path
) -> None:
    path = large(teacher, pieces=16)
    content = path.read_bytes()
    with (
        scripted(lambda asked: asked.answer(503)) as learner,
        serving(copy, source=learner.url) as running,
    ):
        followed = running.app.metrics.mirror
        assert followed is not None
        with full_disk(len(content) // 2):
            learner.script = with_snapshot(path, lambda asked: asked.answer(200, content))
            wait_for(lambda: failures(running, "disk") > 2)
            assert followed.learner.received_bytes < len(content) / 4
        running.wait_until_ready()


def test_while_it_cannot_look_at_what_it_had_it_takes_nothing(
    teacher: Teacher, there: str, copy: Path, tmp_path: Path
) -> None:
    teacher.publish(epoch=2)
    with serving(copy, source=there) as running:
        serves(running, 2, 3)
    snapshots_here = copy / "epochs/000002/snapshots"
    brought = next(snapshots_here.iterdir())
    brought.rename(tmp_path / "aside")
    brought.mkdir()  # which can be neither read nor removed as a file
    with serving(copy, source=there) as running:
        wait_for(lambda: failures(running, "disk") > 2)
        assert "cannot write into" in source(running)["problem"]
        assert version(running) is None
        assert [path.name for path in snapshots_here.iterdir()] == [brought.name]
        brought.rmdir()
        serves(running, 2, 3)


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


def test_the_page_is_as_good_as_where_the_learner_is(learned: Path, copy: Path) -> None:
    status = a_status()
    with (
        answers(learned, health=lambda: status, tasks=("a", "b")) as there,
        serving(learned) as local,
        serving(copy, source=there) as remote,
    ):
        for running in (local, remote):
            running.wait_until_ready()
        wait_for(
            lambda: (
                (copy / "events.jsonl").exists()
                and (copy / "events.jsonl").read_bytes() == (learned / "events.jsonl").read_bytes()
            )
        )
        with listening(local) as told_here, listening(remote) as told_there:
            here, elsewhere = next(told_here)["sections"], next(told_there)["sections"]
        learner = elsewhere.pop("learner")
        here.pop("learner")
        assert elsewhere == here
        assert learner["away"] is False  # although that clock is years behind
        assert learner["step"] == status.step
        for task in ("a", "b"):
            samples = [one.client.get(f"/samples?task={task}") for one in (local, remote)]
            assert samples[0].json() == samples[1].json()
            assert bool(samples[0].json()["samples"]) == (task == "a")
        assert remote.client.get("/samples?task=none").status_code == 404


def test_while_the_learner_is_away_there_are_no_samples_and_no_fault(
    teacher: Teacher, copy: Path
) -> None:
    teacher.publish()
    with answers(teacher.store.epochs.parent) as there, serving(copy, source=there) as running:
        serves(running, 1, 3)
    with serving(copy, source=there) as running:
        serves(running, 1, 3)
        answer = running.client.get("/samples?task=digits-0-1")
    assert answer.json() == {"task": "digits-0-1", "samples": []}


def test_what_happens_there_is_on_the_page_here_soon_after(
    teacher: Teacher, there: str, copy: Path
) -> None:
    with (
        closing(Journal(teacher.store.epochs.parent)) as written,
        serving(copy, source=there) as running,
        listening(running) as told,
    ):
        for number in (1, 2):
            written.hear(events.LearnerStarted(number, 10 * number, 80 * number))
            while len(next(told)["sections"].get("events", ())) < number:
                pass
