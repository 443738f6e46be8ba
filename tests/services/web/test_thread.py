"""A server on a thread beside other work."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.types import ASGIApp

from services.web.address import listen, url_of
from services.web.thread import served
from si_stream.errors import ProcessEnded


def test_it_answers_meanwhile_and_no_longer() -> None:
    crashed = Event()
    with listen("127.0.0.1", 0) as listener:
        url = url_of(listener)
        with served(listener, FastAPI, 1, crashed.set):
            assert httpx.get(f"{url}/openapi.json", timeout=60).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    assert not crashed.is_set()


def test_one_that_is_stopped_before_it_has_begun_is_well() -> None:
    with served(listen("127.0.0.1", 0), FastAPI, 1, pytest.fail):
        pass


def test_one_that_ends_by_itself_is_told_of_logged_and_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def make() -> ASGIApp:
        raise LookupError("no module of that name")

    crashed = Event()
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)

    def work() -> None:
        with served(listener, make, 1, crashed.set):
            assert crashed.wait(60)
            with pytest.raises(httpx.ConnectError):
                httpx.get(url)

    with pytest.raises(ProcessEnded, match=r"the HTTP server had ended before .*no module"):
        work()
    assert "the HTTP server has ended" in caplog.text
    assert "Traceback" in caplog.text


def test_a_client_that_does_not_read_holds_up_no_stop(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2**30)  # of which the disk holds nothing
    listener = listen("127.0.0.1", 0)
    with (
        httpx.Client(base_url=url_of(listener), timeout=60) as client,
        served(listener, lambda: FileResponse(large), 1, pytest.fail),
        client.stream("GET", "/") as response,
    ):
        assert response.status_code == 200
