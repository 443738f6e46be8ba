"""Listeners: told all at first and then what changes; few, alive, and gone when they are to go."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.journal import Journal
from services.predictor import front, listeners
from services.predictor.board import Board
from services.predictor.follower import Follower
from si_stream import events
from tests.services.predictor.serving import Running, listening, serving, wait_for
from tests.services.statuses import a_status


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow one another more quickly."""
    monkeypatch.setattr(listeners, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(listeners, "NAP_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_who_listens_is_told_all_at_first_and_then_what_changes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.hear(events.TaskOpened("a", 0, 0, 1, 0))
    journal.hear(events.Evaluated("main", "a", 10, 160, 0.75, 0.04, 100, None, None))
    with serving(tmp_path) as running, listening(running) as told:
        first = next(told)
        assert first["full"]
        assert first["now_seconds"] == pytest.approx(time.time(), abs=60)
        sections = first["sections"]
        assert sections.keys() == {
            *("learner", "snapshot", "model", "tracks", "tasks", "visits", "boundaries"),
            *("matrix", "events", "curve/main/a", "fault"),
        }
        assert sections["curve/main/a"] == {"samples": [160], "accuracy": [0.75]}
        assert (sections["learner"], sections["model"]) == (None, None)
        assert sections["fault"] is None
        (tmp_path / "status.json").write_text(a_status(written_seconds=1.0).model_dump_json())
        journal.hear(events.Evaluated("main", "a", 20, 320, 0.8, 0.04, 100, None, None))
        changed: dict[str, Any] = {}
        while changed.keys() < {"learner", "tasks", "curve/main/a"}:
            change = next(told)
            assert (change["full"], change["gone"]) == (False, [])
            changed |= change["sections"]
        assert changed.keys() <= {"learner", "tasks", "tracks", "curve/main/a"}
        assert (changed["learner"]["step"], changed["learner"]["away"]) == (300, True)
        assert changed["curve/main/a"] == {"samples": [160, 320], "accuracy": [0.75, 0.8]}
        journal.hear(events.LearnerStarted(2, 0, 0))
        while "curve/main/a" not in next(told)["gone"]:
            pass
    journal.close()


@pytest.mark.usefixtures("quick")
def test_events_have_ids_that_rise_and_say_when_to_come_again(tmp_path: Path) -> None:
    with serving(tmp_path) as running, running.client.stream("GET", "/events") as response:
        lines = response.iter_lines()
        (tmp_path / "status.json").write_text(a_status().model_dump_json())
        first = [*iter(lambda: next(lines), "")]
        while not (second := [*iter(lambda: next(lines), "")]):
            pass
    assert [line.partition(":")[0] for line in first] == ["data", "id", "retry"]
    assert first[2] == "retry: 2000"
    assert [line.partition(":")[0] for line in second] == ["data", "id"]
    numbers = [int(event[1].removeprefix("id: ")) for event in (first, second)]
    assert numbers[0] < numbers[1]


@pytest.mark.usefixtures("quick")
def test_nothing_is_looked_at_while_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = Board.look

    def counted(board: Board) -> dict[str, bytes]:
        nonlocal looks
        looks += 1
        return look(board)

    monkeypatch.setattr(Board, "look", counted)
    with serving(tmp_path) as running:
        running.client.get("/")
        assert looks == 0
        with listening(running) as told:
            next(told)
            wait_for(lambda: looks > 3)
        wait_for(lambda: running.app.listeners._looking is None)
        after = looks
        time.sleep(0.3)
        assert looks == after
        with listening(running) as told:  # and again, with all of it
            assert next(told)["full"]


def test_there_is_room_for_so_many_and_then_for_none_until_one_goes(
    predictor: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "LIMIT", 1)
    with listening(predictor) as told:
        assert next(told)["full"]
        refused = predictor.client.get("/events")
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:si-stream:problem:too-many-listeners"
        assert refused.headers["retry-after"] == "5"
        inputs = np.zeros((1, 4), np.uint8)
        assert predictor.predict("digits-0-1", inputs).status_code == 200
    wait_for(lambda: predictor.app.listeners.count == 0)
    with listening(predictor) as told:
        assert next(told)["full"]


def test_a_server_that_stops_waits_for_no_open_page(learned: Path) -> None:
    with serving(learned) as running:
        told = running.client.stream("GET", "/events")
        with told as response:
            lines = response.iter_lines()
            next(lines)
            running.server.should_exit = True
            assert [*lines][-1:] in ([], [""])  # it came to its end, and was not cut off
        running.thread.join()


def test_a_damaged_line_of_the_journal_costs_no_other_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "events.jsonl").open("wb") as file:
        file.write(b'{"event":"OutputsOpened","time_seconds":1.0,"task":"a","labels":null,')
        file.write(b'"open":1,"step":1}\n')
    journal = Journal(tmp_path)
    journal.hear(events.TaskOpened("a", 0, 0, 1, 0))
    journal.close()
    visits = Board(tmp_path, Follower(tmp_path, 1.0)).look()["visits"]
    assert json.loads(visits) == [{"task": "a", "samples": 0}]
    assert "passed over OutputsOpened" in caplog.text


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_put_together_is_told_logged_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    look, looks, mended = Board.look, 0, False

    def failing(board: Board) -> dict[str, bytes]:
        nonlocal looks
        looks += 1
        if looks > 1 and not mended:
            raise RuntimeError("a fault of ours")
        return look(board)

    monkeypatch.setattr(Board, "look", failing)
    with serving(tmp_path) as running, listening(running) as told:
        assert next(told)["sections"]["fault"] is None
        while not (change := next(told))["sections"]:
            pass
        assert change["sections"].keys() == {"fault"}
        assert change["gone"] == []
        fault = change["sections"]["fault"]
        assert fault["error"] == "RuntimeError: a fault of ours"
        assert fault["since_seconds"] == pytest.approx(time.time(), abs=60)
        wait_for(lambda: looks > 5)
        mended = True
        while "fault" not in (change := next(told))["sections"]:
            pass
        assert change["sections"]["fault"] is None
    [record] = [one for one in caplog.records if "cannot be put together" in one.message]
    assert record.exc_info is not None


def test_a_sign_of_life_comes_while_a_look_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "ALIVE_SECONDS", 0.05)
    goes_on = threading.Event()
    look = Board.look

    def hanging(board: Board) -> dict[str, bytes]:
        goes_on.wait()
        return look(board)

    monkeypatch.setattr(Board, "look", hanging)
    with serving(tmp_path) as running:
        try:
            with listening(running, alive=True) as told:
                for _ in range(3):
                    sign = next(told)
                    assert sign.keys() == {"now_seconds"}
                    assert sign["now_seconds"] == pytest.approx(time.time(), abs=60)
        finally:
            goes_on.set()


@pytest.mark.usefixtures("quick")
def test_a_sign_of_life_comes_among_what_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "ALIVE_SECONDS", 0.2)
    with serving(tmp_path) as running, listening(running, alive=True) as told:
        assert [sorted(next(told)) for _ in range(2)] == [["now_seconds"]] * 2


class Unread:
    """A page that is open and does not read, until there is no room for what it is sent."""

    def __init__(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        self._number = 0
        monkeypatch.setattr(Board, "look", self._look)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = running.url.removeprefix("http://").rpartition(":")
        self.socket.connect((host, int(port)))
        self.socket.sendall(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")

    def _look(self) -> dict[str, bytes]:
        """Always other, and larger than what the kernel keeps of a connection."""
        self._number += 1
        return {"large": b'"%d%s"' % (self._number, b"x" * 20_000_000)}


@pytest.mark.usefixtures("quick")
def test_a_page_that_does_not_read_loses_its_place(
    predictor: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(front, "SEND_SECONDS", 0.3)
    page = Unread(predictor, monkeypatch)
    wait_for(lambda: predictor.app.listeners.count == 1)
    wait_for(lambda: predictor.app.listeners.count == 0)
    wait_for(lambda: len(predictor.server.server_state.connections) == 0)
    page.socket.close()
    assert caplog.messages == []


@pytest.mark.usefixtures("quick")
def test_a_server_that_stops_cuts_off_a_page_that_does_not_read(
    learned: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(front, "SEND_SECONDS", 600.0)
    with serving(learned) as running:
        page = Unread(running, monkeypatch)
        wait_for(lambda: running.app.listeners.count == 1)
        time.sleep(0.3)
        running.server.should_exit = True
        running.thread.join()
    page.socket.close()
    assert [one for one in caplog.messages if "graceful" in one or "ASGI" in one] == []
