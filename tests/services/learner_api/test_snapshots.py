"""A learner's snapshots over HTTP."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.web.files import PIECE_BYTES
from tests.services.learner_api.serving import answers
from tests.services.predictor.serving import Teacher, wait_for


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.teach()
    return teacher


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with answers(tmp_path) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def kind_of(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["type"].rpartition(":")[2])


def test_the_newest_is_answered_with_its_digest_its_place_and_its_address(
    teacher: Teacher, client: httpx.Client
) -> None:
    path = teacher.publish()
    response = client.get("/snapshots/newest")
    assert response.content == path.read_bytes()
    digest = hashlib.sha256(response.content).hexdigest()
    assert response.headers["etag"] == f'"{digest}"'
    assert response.headers["content-location"] == f"/snapshots/000001/{path.name}"
    told = {k: v for k, v in response.headers.items() if k.startswith("si-stream")}
    assert told == {"si-stream-epoch": "1", "si-stream-number": "1", "si-stream-step": "3"}
    assert client.get(response.headers["content-location"]).content == response.content
    head = client.head("/snapshots/newest")
    assert head.content == b""
    differing = {name for name in head.headers if head.headers[name] != response.headers[name]}
    assert differing <= {"date"}
    assert head.headers.keys() == response.headers.keys()


def test_who_has_the_newest_is_told_so_until_there_is_another(
    teacher: Teacher, client: httpx.Client
) -> None:
    teacher.publish()
    etag = client.head("/snapshots/newest").headers["etag"]
    for method in ("GET", "HEAD"):
        response = client.request(method, "/snapshots/newest", headers={"If-None-Match": etag})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
    teacher.teach()
    path = teacher.publish()
    wait_for(
        lambda: client.head("/snapshots/newest", headers={"If-None-Match": etag}).status_code == 200
    )
    assert client.head("/snapshots/newest").headers["si-stream-number"] == "2"
    assert client.get("/snapshots/newest").content == path.read_bytes()


def test_the_higher_epoch_is_the_newer_one(teacher: Teacher, client: httpx.Client) -> None:
    teacher.publish(epoch=2, step=1)
    teacher.publish(epoch=1, step=9)
    assert client.head("/snapshots/newest").headers["si-stream-epoch"] == "2"


def test_a_copy_of_an_epoch_under_another_name_is_passed_over(
    teacher: Teacher, client: httpx.Client
) -> None:
    path = teacher.publish()
    epoch = path.parents[1]
    shutil.copytree(epoch, epoch.with_name("000001.bak"))
    assert (
        client.head("/snapshots/newest")
        .headers["content-location"]
        .endswith(f"/000001/{path.name}")
    )


def test_looking_for_a_newer_one_reads_no_file(teacher: Teacher, client: httpx.Client) -> None:
    path = teacher.publish()
    client.head("/snapshots/newest")
    before = path.stat().st_atime_ns
    path.chmod(0)  # and nobody could
    path.write_bytes(b"")
    for _ in range(3):
        assert client.head("/snapshots/newest").status_code == 200
    assert path.stat().st_atime_ns == before


def test_before_the_first_one_it_is_said_to_ask_again(client: httpx.Client) -> None:
    response = client.get("/snapshots/newest")
    assert (response.status_code, kind_of(response)) == (503, "no-snapshot-yet")
    assert int(response.headers["retry-after"]) > 0


def test_a_snapshot_at_its_own_address_never_changes(
    teacher: Teacher, client: httpx.Client
) -> None:
    path = teacher.publish()
    response = client.get(f"/snapshots/000001/{path.name}")
    assert response.content == path.read_bytes()
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    etag = response.headers["etag"]
    again = client.get(f"/snapshots/000001/{path.name}", headers={"If-None-Match": etag})
    assert again.status_code == 304


RANGES = {
    "the rest": ("bytes=10-", 10, None),
    "the last byte": ("bytes=-1", 0, None),  # several ways to ask are answered with the whole
    "some": ("bytes=10-19", 10, 20),
    "beyond its end": ("bytes=10-99999999999", 10, None),
    "several": ("bytes=0-1,4-5", 0, None),
    "of other units": ("lines=1-", 0, None),
}


@pytest.mark.parametrize("what", RANGES)
def test_a_part_of_it_can_be_asked_for(what: str, teacher: Teacher, client: httpx.Client) -> None:
    content = (path := teacher.publish()).read_bytes()
    asked, start, end = RANGES[what]
    response = client.get(f"/snapshots/000001/{path.name}", headers={"Range": asked})
    assert response.content == content[start:end]
    assert response.status_code == (206 if start else 200)
    if start:
        last = (end or len(content)) - 1
        assert response.headers["content-range"] == f"bytes {start}-{last}/{len(content)}"


def test_what_was_begun_of_another_file_is_begun_anew(
    teacher: Teacher, client: httpx.Client
) -> None:
    path = teacher.publish()
    headers = {"Range": "bytes=10-", "If-Range": '"another"'}
    response = client.get(f"/snapshots/000001/{path.name}", headers=headers)
    assert (response.status_code, response.content) == (200, path.read_bytes())
    headers["If-Range"] = response.headers["etag"]
    response = client.get(f"/snapshots/000001/{path.name}", headers=headers)
    assert (response.status_code, response.content) == (206, path.read_bytes()[10:])


def test_a_range_beyond_the_end_is_a_problem_that_tells_the_size(
    teacher: Teacher, client: httpx.Client
) -> None:
    size = (path := teacher.publish()).stat().st_size
    headers = {"Range": f"bytes={size}-"}
    response = client.get(f"/snapshots/000001/{path.name}", headers=headers)
    assert (response.status_code, kind_of(response)) == (416, "range-not-satisfiable")
    assert response.headers["content-range"] == f"bytes */{size}"


def test_one_that_was_removed_is_gone_and_one_to_come_is_not_there(
    teacher: Teacher, client: httpx.Client
) -> None:
    removed = teacher.publish(keep=1)
    teacher.publish(keep=1, epoch=1, step=9)
    response = client.get(f"/snapshots/000001/{removed.name}")
    assert (response.status_code, kind_of(response)) == (410, "gone")
    assert "/snapshots/newest" in response.json()["detail"]
    response = client.get(f"/snapshots/000002/{removed.name}")
    assert (response.status_code, kind_of(response)) == (404, "nothing-there")


@pytest.mark.parametrize(
    "path",
    [
        "/snapshots/000001/../../../status.json",
        "/snapshots/..%2f..%2f000001/x",
        "/snapshots/../status.json",
        "/snapshots/000001/status.json",
        "/snapshots/000001/%2e%2e%2f%2e%2e%2fstatus.json",
        "/snapshots/000001/manifest.json",
        "/snapshots/1/NAME",
        "/snapshots/000001/NAME%00",
        "/snapshots/000001/NAME/",
        "/snapshots/%30%30%30%30%30%31/..%2fsnapshots%2fNAME",
    ],
)
def test_nothing_but_a_snapshot_can_be_asked_for(
    path: str, tmp_path: Path, teacher: Teacher, client: httpx.Client
) -> None:
    name = teacher.publish().name
    (tmp_path / "status.json").write_text("{}")
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.replace("NAME", name).encode())
    response = client.send(request)
    assert response.status_code == 404
    assert kind_of(response) in ("nothing-there", "unknown-route")


def test_a_link_out_of_the_directory_is_not_followed(
    tmp_path: Path, teacher: Teacher, client: httpx.Client
) -> None:
    path = teacher.publish()
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    assert client.get(f"/snapshots/000001/{path.name}").status_code == 410


def test_one_that_is_removed_while_it_is_sent_is_sent_to_its_end(
    teacher: Teacher, client: httpx.Client
) -> None:
    snapshot = teacher.snapshot()
    large = {"filler": snapshot.weights.popitem()[1].new_zeros(64 * PIECE_BYTES)}
    path = teacher.store.publish(snapshot._replace(weights=large), keep=1)
    content = path.read_bytes()
    with client.stream("GET", f"/snapshots/000001/{path.name}") as response:
        path.unlink()
        assert response.read() == content


@pytest.mark.usefixtures("curl")
def test_the_documented_commands_bring_the_newest_one(
    tmp_path: Path, teacher: Teacher, client: httpx.Client
) -> None:
    path = teacher.publish()
    page = (Path(__file__).parents[3] / "docs/predictors.md").read_text("utf-8")
    [*_, commands] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    there = str(client.base_url).rstrip("/")
    (work := tmp_path / "work").mkdir()
    (work / path.name).write_bytes(path.read_bytes()[:100])  # of a download that broke off
    done = subprocess.run(
        ["bash", "-euc", commands.replace("http://127.0.0.1:9101", there)],
        cwd=work,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [path.stem.partition("-")[2], path.name]
    assert (work / path.name).read_bytes() == path.read_bytes()
