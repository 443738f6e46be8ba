"""A learner's journal over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services import journal
from services.journal import Journal
from si_stream import events
from tests.services.learner_api.serving import answers


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with answers(tmp_path) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def tell(written: Journal, step: int) -> None:
    written.hear(events.SnapshotPublished(1, step, 8 * step))


@pytest.mark.parametrize("path", ["/journal", "/journal/former"])
def test_before_the_first_line_there_is_nothing(
    path: str, tmp_path: Path, client: httpx.Client
) -> None:
    for _ in range(2):
        response = client.get(path)
        assert response.status_code == 404
        assert response.json()["type"] == "urn:si-stream:problem:nothing-there"
        (tmp_path / "events.jsonl").write_text('{"event"')  # a line that is being written


def test_whoever_has_read_some_of_it_is_sent_the_rest(tmp_path: Path, client: httpx.Client) -> None:
    written = Journal(tmp_path)
    tell(written, 1)
    first = client.get("/journal")
    assert first.content == (tmp_path / "events.jsonl").read_bytes()
    assert first.headers["content-type"] == "application/jsonl"
    tell(written, 2)
    headers = {"Range": f"bytes={len(first.content)}-", "If-Range": first.headers["etag"]}
    second = client.get("/journal", headers=headers)
    assert second.status_code == 206
    assert first.content + second.content == (tmp_path / "events.jsonl").read_bytes()
    assert second.headers["etag"] == first.headers["etag"]
    assert client.head("/journal").headers["etag"] == first.headers["etag"]
    written.close()


def test_a_file_that_is_put_aside_is_known_by_its_etag(
    tmp_path: Path, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 100)
    written = Journal(tmp_path)
    tell(written, 1)
    before = client.get("/journal")
    tell(written, 2)
    tell(written, 3)
    etag = before.headers["etag"]
    resumed = {"Range": f"bytes={len(before.content)}-", "If-Range": etag}
    former = client.get("/journal/former", headers=resumed)
    assert former.status_code == 206
    assert former.content.count(b"\n") == 1
    now = client.get("/journal", headers=resumed)
    assert now.status_code == 200
    assert now.headers["etag"] != etag
    written.close()
