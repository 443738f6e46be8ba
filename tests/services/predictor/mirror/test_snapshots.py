"""Snapshots of a learner elsewhere: which are taken, how they come, and what the disk keeps."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.predictor.mirror import snapshots
from services.predictor.mirror.learner import SourceLearner
from si_stream.checkpoints import files
from si_stream.checkpoints.snapshots import SUFFIX, SnapshotStore
from si_stream.settings import PredictorOptions
from tests.memory import memory_within
from tests.services.learner_api.serving import answers
from tests.services.predictor.mirror.following import (
    cut_surely,
    failures,
    full_disk,
    goes_on_to_fail,
    large,
    receives_more,
    serves,
    source,
    version,
)
from tests.services.predictor.mirror.scripted import (
    Asked,
    Script,
    cut_short,
    scripted,
    with_snapshot,
)
from tests.services.predictor.serving import (
    Teacher,
    model_options,
    random_inputs,
    serving,
    wait_for,
)
from tests.services.tcp_proxy import TcpProxy


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
