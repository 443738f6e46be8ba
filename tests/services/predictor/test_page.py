"""The page's routes: its document and files, what it is told, and samples to try."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from deploy.prometheus.rules import shipped
from services.journal import Journal
from services.predictor import front, listeners, samples
from services.predictor.answers import SampleList
from services.predictor.board import Board
from services.predictor.follower import Follower
from services.predictor.page_files import FOLDER, PageFiles
from si_stream import events
from si_stream.evaluation.accuracy_matrix import AccuracyMatrix
from si_stream.evaluation.measures import Live, Measures
from tests.services.predictor.serving import Running, Teacher, serving, wait_for
from tests.services.statuses import a_status
from tests.services.test_learner_host import MESSAGES
from tests.services.test_learner_host import run as learn_all
from tests.streams import memory_broker, settings

OWN_FILES = sorted(path for path in FOLDER.iterdir() if path.name != "index.html")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow one another more quickly."""
    monkeypatch.setattr(listeners, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(listeners, "NAP_SECONDS", 0.01)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a learner that has learned two tasks to the stream's end."""
    directory = tmp_path_factory.mktemp("learned")
    learn_all(memory_broker(MESSAGES), settings(directory, learner={"shadow": "none"}))
    return directory


@contextmanager
def listening(running: Running, *, alive: bool = False) -> Iterator[Iterator[dict[str, Any]]]:
    """The data of the events, as they come; of signs of life only with ``alive``."""

    def data(response: httpx.Response) -> Iterator[dict[str, Any]]:
        kind = ""
        for line in response.iter_lines():
            if line.startswith("data: ") and kind == ("alive" if alive else ""):
                yield json.loads(line.removeprefix("data: "))
            kind = line.removeprefix("event: ") if line.startswith("event: ") else ""

    with running.client.stream("GET", "/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        yield data(response)


def addresses(predictor: Running) -> list[str]:
    return re.findall(r'"(page/[^"]+)"', predictor.client.get("/").text)


def test_the_document_may_load_nothing_from_elsewhere_and_is_asked_for_each_time(
    predictor: Running,
) -> None:
    answer = predictor.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; " in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_the_document_names_is_there_for_good(predictor: Running) -> None:
    named = addresses(predictor)
    assert {path.rpartition("/")[2] for path in named} == {
        *("icon.svg", "page.css", "main.js", "plotly.min.js"),
    }
    for path in named:
        answer = predictor.client.get(f"/{path}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        plain = predictor.client.get(f"/{path}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == answer.content
        assert "immutable" in plain.headers["cache-control"]


def test_plotly_is_that_of_the_installed_package_and_travels_compressed(
    predictor: Running,
) -> None:
    path = next(path for path in addresses(predictor) if "plotly" in path)
    with predictor.client.stream("GET", f"/{path}") as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert len(raw) < 2_000_000
    assert b"plotly.js v" in gzip.decompress(raw)[:200]


def test_every_module_is_served_beside_the_others_that_it_imports(predictor: Running) -> None:
    main = next(path for path in addresses(predictor) if path.endswith("main.js"))
    folder = main.rpartition("/")[0]
    for path in OWN_FILES:
        answer = predictor.client.get(f"/{folder}/{path.name}")
        assert answer.content == path.read_bytes()
        for imported in re.findall(r'from "\./([\w.-]+)"', path.read_text("utf-8")):
            assert (FOLDER / imported).is_file()


def test_no_file_of_the_page_names_another_host() -> None:
    for path in FOLDER.iterdir():
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text("utf-8"))
        assert [one for one in found if one != "http://www.w3.org"] == []


@pytest.mark.parametrize(
    "path", ["/page/0/main.js", "/page/x/..%2fpage_files.py", "/page/x/none", "/page/x"]
)
def test_another_file_or_another_version_is_a_problem(path: str, predictor: Running) -> None:
    answer = predictor.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:si-stream:problem:unknown-route"


def test_a_changed_file_has_another_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = PageFiles().document
    monkeypatch.setattr("services.predictor.page_files.FOLDER", tmp_path)
    assert PageFiles().document == before
    (tmp_path / "wording.js").write_text("// other words")
    assert PageFiles().document != before


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


def test_samples_are_some_of_the_holdout_set_evenly_over_the_labels(learned: Path) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        answer = running.client.get("/samples", params={"task": "a"}).json()
        assert answer["task"] == "a"
        assert [sample["label"] for sample in answer["samples"]] == [0, 1, 2]
        asked = running.client.post(
            "/predict",
            json={"task": "a", "inputs": [sample["input"] for sample in answer["samples"]]},
        )
        assert asked.status_code == 200
        assert running.client.get("/samples", params={"task": "b"}).json()["samples"] == []


def test_the_page_is_answered_with_fewer_samples_the_larger_they_are(
    learned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        [values] = running.client.get("/tasks").json()["model"]["input_shape"]
    for room, count in ((2 * values + 1, 2), (values - 1, 0)):
        monkeypatch.setattr(samples, "LIMIT_VALUES", room)
        with serving(learned) as running:
            running.wait_until_ready()
            answer = running.client.get("/samples?task=a")
            assert answer.headers["content-type"] == "application/json"
            assert len(answer.json()["samples"]) == count


def test_samples_are_answered_as_they_are_documented(learned: Path) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        answer = running.client.get("/samples?task=a")
        document = running.client.get("/openapi.json").json()
    found = SampleList.model_validate_json(answer.content)
    assert orjson.loads(answer.content) == found.model_dump(mode="json", by_alias=True)
    content = document["paths"]["/samples"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/SampleList"}


def test_where_there_is_no_checkpoint_there_are_no_samples(predictor: Running) -> None:
    answer = predictor.client.get("/samples?task=digits-0-1")
    assert answer.json() == {"task": "digits-0-1", "samples": []}


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [("", 400, "malformed-request"), ("?task=none", 404, "unknown-task")],
)
def test_samples_of_no_task_are_a_problem(
    query: str, status: int, kind: str, predictor: Running
) -> None:
    answer = predictor.client.get(f"/samples{query}")
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:si-stream:problem:{kind}"


def test_a_damaged_holdout_file_is_no_sample_and_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learn_all(memory_broker(MESSAGES), settings(tmp_path))
    [file] = (tmp_path / "holdouts").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with serving(tmp_path) as running:
        running.wait_until_ready()
        assert running.client.get("/samples?task=a").json()["samples"] == []
    assert "no samples of task a" in caplog.text


def test_the_board_tells_what_the_routes_answer_and_the_learner_has_written(learned: Path) -> None:
    with serving(learned) as running:
        running.wait_until_ready()
        with listening(running) as told:
            sections = next(told)["sections"]
        matrices = running.client.get("/accuracy-matrix").json()
        assert sections["model"] == running.client.get("/tasks").json()
    status = json.loads((learned / "status.json").read_text())
    assert sections["learner"] == {**status, "away": False}
    for track in sections["tracks"]:
        matrix = matrices["tracks"][track["name"]]
        for figure in ("consolidator", "average_accuracy", "mean_forgetting", "backward_transfer"):
            assert track[figure] == matrix[figure]
        rows = [row["cells"] for row in sections["matrix"]["tracks"][track["name"]]]
        assert rows == matrix["rows"]
    assert [track["name"] for track in sections["tracks"]] == ["main", "shadow"]
    assert [boundary["task"] for boundary in sections["boundaries"]] == ["a", "b"]
    assert [row["name"] for row in sections["tasks"]] == ["a", "b"]


def test_without_a_journal_the_board_tells_what_the_snapshot_knows(
    learned: Path, tmp_path: Path
) -> None:
    (tmp_path / "epochs").symlink_to(learned / "epochs")
    told = []
    for directory in (learned, tmp_path):
        with serving(directory) as running:
            running.wait_until_ready()
            with listening(running) as told_here:
                told.append(next(told_here)["sections"])
    with_journal, without = told
    assert without["tracks"] == with_journal["tracks"]
    assert without["events"] == without["visits"] == []
    for track, rows in with_journal["matrix"]["tracks"].items():
        cells = [row["cells"] for row in rows]
        assert [row["cells"] for row in without["matrix"]["tracks"][track]] == cells
    for one, other in zip(without["tasks"], with_journal["tasks"], strict=True):
        for track, measured in other["tracks"].items():
            assert one["tracks"][track]["accuracy"] == measured["accuracy"]
            assert one["tracks"][track]["forgetting"] == measured["forgetting"]


def without_the_middle(tmp_path: Path, *, numbered: bool) -> Teacher:
    """A model of three tasks, of which the snapshot leaves out the second, `gone`."""
    teacher = Teacher(tmp_path)
    teacher.teach()
    first, last = teacher.snapshot().manifest.tasks
    matrix = AccuracyMatrix()
    for trained, row in enumerate(([0.9], [0.8, 0.5], [0.7, 0.4, 0.95])):
        matrix.append([*row], trained=trained)
    measures = Measures(consolidator="synaptic-intelligence", accuracy=matrix)
    measures.live = {
        first.name: Live(accuracy=0.6, samples=100, step=3),
        last.name: Live(accuracy=0.9, samples=100, step=3),
    }
    if numbered:
        first, last = (task.model_copy(update={"number": n}) for task, n in ((first, 0), (last, 2)))
    teacher.publish(tasks=[first, last], tracks={"main": measures})
    return teacher


def test_a_task_that_the_snapshot_leaves_out_moves_no_column(tmp_path: Path) -> None:
    without_the_middle(tmp_path, numbered=True)
    expected = [[0.9, None], [0.8, None], [0.7, 0.95]]
    with serving(tmp_path) as running:
        running.wait_until_ready()
        with listening(running) as told:
            sections = next(told)["sections"]
        matrices = running.client.get("/accuracy-matrix").json()
    assert sections["matrix"]["tasks"] == matrices["tasks"] == ["digits-0-1", "digits-2-3"]
    assert [row["cells"] for row in sections["matrix"]["tracks"]["main"]] == expected
    assert matrices["tracks"]["main"]["rows"] == expected
    forgetting = [row["tracks"]["main"]["forgetting"] for row in sections["tasks"]]
    assert forgetting == pytest.approx([0.9 - 0.6, 0.95 - 0.9])


def test_columns_of_a_snapshot_without_numbers_are_those_that_the_journal_knows(
    tmp_path: Path,
) -> None:
    without_the_middle(tmp_path, numbered=False)
    journal = Journal(tmp_path)
    for number, name in enumerate(("digits-0-1", "gone", "digits-2-3")):
        journal.hear(events.TaskOpened(name, number, number, number + 1, 100 * number))
    journal.close()
    with serving(tmp_path) as running:
        running.wait_until_ready()
        with listening(running) as told:
            matrix = next(told)["sections"]["matrix"]
    assert matrix["tasks"] == ["digits-0-1", "gone", "digits-2-3"]
    assert [row["cells"] for row in matrix["tracks"]["main"]][-1] == [0.7, 0.4, 0.95]


def test_forgetting_is_what_was_compared_with_the_best_when_it_was_measured(
    tmp_path: Path,
) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    measures = teacher.snapshot().manifest.tracks["main"]
    measures.live = {
        "digits-0-1": Live(accuracy=0.6, samples=100, step=3, forgetting=0.123),
    }
    teacher.publish(tracks={"main": measures})
    with serving(tmp_path) as running:
        running.wait_until_ready()
        with listening(running) as told:
            [first, _] = next(told)["sections"]["tasks"]
    assert first["tracks"]["main"]["forgetting"] == 0.123


def test_the_page_says_that_a_task_is_forgotten_where_the_alert_does() -> None:
    verdict = (FOLDER / "verdict.js").read_text("utf-8")
    rules = {
        rule["record"]: rule["expr"]
        for group in shipped()["rules.yml"]["groups"]
        for rule in group["rules"]
    }
    for name, record in (
        ("FORGOTTEN", "forgetting_ratio"),
        ("ERRORS", "forgetting_standard_errors"),
    ):
        found = re.search(rf"const {name} = ([0-9.]+);", verdict)
        assert found is not None
        assert rules[f"si_stream_threshold:{record}"] == f"vector({found[1]})"
