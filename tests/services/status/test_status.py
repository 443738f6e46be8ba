"""`si-stream status`, as it is typed: on services that are well, ill, gone or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.command import main
from services.learner_status import NAME
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from si_stream.messages.kinds import Boundary
from tests.services.learner_api.serving import answers
from tests.services.learner_process import wait_until
from tests.services.other_programs import answering
from tests.services.predictor.serving import Running, Teacher, model_options, serving, wait_for
from tests.services.statuses import a_status
from tests.streams import filled, samples, settings

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    """Its snapshot is of the model `digits`."""
    teacher = Teacher(tmp_path, model_options(name="digits"))
    teacher.teach()
    teacher.publish()
    return teacher


@pytest.fixture
def predictor(teacher: Teacher) -> Iterator[Running]:
    with serving(teacher.store.epochs.parent) as running:
        running.wait_until_ready()
        yield running


def told(directory: Path, **changes: Any) -> None:
    """What a learner has written there just now."""
    now = time.time()
    soon = now + 4  # leaves a slow machine nine seconds before it counts as away
    given = {"pid": os.getpid(), "written_seconds": soon, "started_seconds": now - 7200, **changes}
    (directory / NAME).write_text(a_status(**given).model_dump_json())


def typed(directory: Path, *arguments: str) -> list[str]:
    return ["status", "--directory", str(directory), "--set", "predictor.port=0", *arguments]


def asked(
    capsys: pytest.CaptureFixture[str], directory: Path, *arguments: str
) -> tuple[int, dict[str, Any]]:
    code = main(typed(directory, *arguments, "--json"))
    seen: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert seen["healthy"] == (code == 0)
    return code, seen


def test_where_there_is_nothing_one_line_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(tmp_path)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"si-stream: {tmp_path}: there is no {tmp_path}/status.json: no learner of this version "
        "has run there; name its --directory or --url, or start one (si-stream serve)\n"
    )
    code, seen = asked(capsys, tmp_path)
    assert code == 1
    assert seen["learner"]["status"] is None


def test_a_service_that_is_well_is_shown_and_ends_with_0(
    tmp_path: Path, predictor: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    assert main(typed(tmp_path, "--predictor", predictor.url)) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith(f"learner     learning  process {os.getpid()}, up 120 min, ")
    for line in (
        "task        digits-2-3",
        "steps       300, 120.0 a second",
        "position    0:12.34; 5 messages behind",
        f"predictor   ready  at {predictor.url}, snapshot 1.3",
    ):
        assert line in lines
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("digits-")}
    assert rows == {
        "digits-0-1": ["24", "59.0%", "100", "40.0%"],
        "digits-2-3": ["24", "97.0%", "100"],
    }
    assert lines[-1].split() == ["at", "the", "last", "boundary", "78.0%", "40.0%"]


@pytest.mark.usefixtures("teacher")
def test_without_a_predictor_the_newest_snapshot_says_what_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    code, seen = asked(capsys, tmp_path)
    assert code == 0
    assert seen["predictor"]["ready"] is False
    known = seen["knowledge"]
    assert (known["source"], known["version"]) == (str(tmp_path), [1, 3])
    assert known["tasks"][0]["forgetting"] == {"main": pytest.approx(0.4)}


def test_both_sources_say_the_same(
    tmp_path: Path, predictor: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    one = asked(capsys, tmp_path)[1]["knowledge"]
    other = asked(capsys, tmp_path, "--predictor", predictor.url)[1]["knowledge"]
    assert other.pop("source") == predictor.url
    assert one.pop("source") == str(tmp_path)
    assert one == other


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": "stopped", "written_seconds": 0.0}, "it stopped in good order "),
        ({"written_seconds": time.time() - 60}, "this machine has a process "),
    ],
)
def test_a_learner_that_is_not_at_work_ends_with_1(
    changes: dict[str, Any], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path, **changes)
    code, seen = asked(capsys, tmp_path)
    assert code == 1
    assert problem in seen["learner"]["problem"]
    assert main(typed(tmp_path)) == 1
    assert problem in capsys.readouterr().out


def test_a_learner_that_waits_is_at_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path, status="waiting", awaited_partition={"partition": 1, "seconds": 75})
    assert main(typed(tmp_path)) == 0
    assert "waiting     for partition 1, since 75 s" in capsys.readouterr().out


def test_a_status_that_is_damaged_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).write_text("{")
    assert main(typed(tmp_path)) == 1
    assert f"{tmp_path}/status.json cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize("pid", [2**31, 10**30, 0, -1])
def test_a_status_with_a_process_that_no_machine_has_is_damaged(
    pid: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).write_text(
        a_status(written_seconds=1.0).model_dump_json().replace('"pid":7', f'"pid":{pid}')
    )
    code, seen = asked(capsys, tmp_path)
    assert code == 1
    assert f"{tmp_path}/status.json cannot be read: " in seen["learner"]["problem"]


@pytest.mark.parametrize("option", ["--url", "--predictor"])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://joe:hunter2@127.0.0.1:1", "should have no user in it, which nothing asks for"),
        ("joe:hunter2@127.0.0.1:1", "should have no user in it, which nothing asks for"),
        ("127.0.0.1:9101", "'127.0.0.1:9101' should be the address of a web server"),
        ("localhost:9101", "'localhost:9101' should be the address of a web server"),
        ("ftp://127.0.0.1", "'ftp://127.0.0.1' should be the address of a web server"),
        ("http://:9101", "'http://:9101' should be the address of a web server"),
        ("http://one:port", "'http://one:port' should be the address of a web server"),
        ("http://[::1", "'http://[::1' should be the address of a web server"),
        ("http://127.0.0.1:1/?token=hunter2", "should have no more behind its address than a path"),
        ("", "'' should be the address of a web server"),
    ],
)
def test_an_address_that_is_none_is_refused_and_a_password_not_repeated(
    url: str, problem: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    assert main(typed(tmp_path, option, url, "--json")) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"si-stream: {option} {problem}; write it as http://HOST:PORT\n"
    assert "hunter2" not in shown.err


@pytest.mark.parametrize("path", ["", "/", "/metrics", "/health"])
def test_a_learner_on_another_machine_is_asked_at_its_address(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answers() as address:  # its clock is years behind
        code, seen = asked(capsys, tmp_path, "--url", address + path)
    assert code == 0
    assert seen["learner"]["place"] == address
    assert seen["learner"]["status"]["step"] == 300
    code, seen = asked(capsys, tmp_path, "--url", address)
    assert code == 1
    assert seen["learner"]["problem"] == "no learner of this version answers there"


def test_what_answers_and_is_no_learner_is_told_of(
    tmp_path: Path, predictor: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    code, seen = asked(capsys, tmp_path, "--url", predictor.url)
    assert code == 1
    assert seen["learner"]["problem"] == "what answers there is no learner of this version"


def test_a_predictor_that_was_named_must_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    code, seen = asked(capsys, tmp_path, "--predictor", "http://127.0.0.1:1")
    assert code == 1
    assert "nothing answers there; start one" in seen["predictor"]["problem"]
    assert main(["status", "--directory", str(tmp_path), "--set", "predictor.port=1"]) == 0
    assert "none at http://127.0.0.1:1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"detail": "Not Found"}),
        (500, {"detail": "this is a fault"}),
        (503, {"message": "away"}),
        (503, ["away"]),
        (200, {"status": "ok"}),
        (200, {"version": {"epoch": "one", "step": None}}),
        (200, []),
    ],
)
def test_another_program_at_the_predictors_port_is_a_problem_only_where_it_was_named(
    status: int, body: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    with answering(status, body) as port:
        command = ["status", "--directory", str(tmp_path), "--set", f"predictor.port={port}"]
        assert main(command) == 0
        assert f"none at http://127.0.0.1:{port}" in capsys.readouterr().out
        code, seen = asked(capsys, tmp_path, "--predictor", f"http://127.0.0.1:{port}")
    assert code == 1
    assert "what answers there is no predictor" in seen["predictor"]["problem"]


def test_a_predictor_of_another_version_is_ready_and_tells_nothing_that_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    version = {"version": {"epoch": 1, "step": 3}}
    tasks = {**version, "model": {"name": "digits"}, "tasks": [{"title": "a"}]}
    paths = {"/healthz/ready": version, "/tasks": tasks, "/accuracy-matrix": {"tracks": {}}}
    with answering(404, {}, paths) as port:
        code, seen = asked(capsys, tmp_path, "--predictor", f"http://127.0.0.1:{port}")
    assert code == 0
    assert seen["predictor"]["ready"] is True
    assert seen["knowledge"] is None


def test_a_predictor_without_a_snapshot_is_not_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path)
    with serving(tmp_path) as running:
        code, seen = asked(capsys, tmp_path, "--predictor", running.url)
    assert code == 1
    assert "no snapshot has been loaded yet" in seen["predictor"]["problem"]


def test_a_predictor_of_another_model_is_told_of(
    tmp_path: Path, predictor: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    told(tmp_path, model="faces")
    code, seen = asked(capsys, tmp_path, "--predictor", predictor.url)
    assert code == 1
    assert "serves another model, digits" in seen["predictor"]["problem"]


def test_it_is_watched_each_second_until_ctrl_c(tmp_path: Path) -> None:
    told(tmp_path)
    command = [sys.executable, "-m", "services", *typed(tmp_path, "--watch", "--json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["learner"]["status"]["step"] == 300
        told(tmp_path, step=301)
        while (seen := json.loads(process.stdout.readline()))["learner"]["status"]["step"] < 301:
            pass
        assert seen["healthy"] is True
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_a_real_learner_is_well_and_when_it_was_killed_it_is_gone(
    tmp_path: Path, started: list[Child], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(
        tmp_path,
        stream={"broker": f"embedded:{tmp_path}/broker.sqlite"},
        snapshots={"interval_seconds": 0.1},
    )
    with EmbeddedBroker(tmp_path / "broker.sqlite") as broker:
        filled(broker, [samples(20, task="a"), Boundary("1"), samples(8, 300, task="b")])
    started.append(child := Child("learner", settings=chosen))
    wait_until(child, "si_stream_snapshot_step", reaches=4)
    while asked(capsys, tmp_path)[1]["learner"]["status"]["step"] < 4:
        time.sleep(0.1)
    code, seen = asked(capsys, tmp_path)
    assert code == 0
    assert [task["name"] for task in seen["knowledge"]["tasks"]] == ["a", "b"]
    child.kill()
    child.wait()
    while asked(capsys, tmp_path)[0] == 0:
        time.sleep(0.2)
    problem = asked(capsys, tmp_path)[1]["learner"]["problem"]
    assert "is gone from this machine: its log says why" in problem


def test_a_predictor_that_follows_a_url_tells_of_it(
    tmp_path: Path, teacher: Teacher, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    with serving(copy, source="http://127.0.0.1:1") as running:
        wait_for(lambda: running.client.get("/source").json()["problem"] is not None)
        assert main(typed(copy, "--predictor", running.url)) == 1
    with answers(teacher.store.epochs.parent) as there, serving(copy, source=there) as running:
        running.wait_until_ready()
        arguments = ("--source", there, "--predictor", running.url)
        assert main(typed(copy, *arguments)) == 0
        lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert f"source      {there} answers" in lines
        assert any(line.startswith("learner     learning  process ") for line in lines)
        _, seen = asked(capsys, copy, *arguments)
        assert seen["learner"]["place"] == there
    with serving(copy, source=there) as running:
        running.wait_until_ready()
        wait_for(lambda: running.client.get("/source").json()["problem"] is not None)
        code, seen = asked(capsys, copy, "--source", there, "--predictor", running.url)
        assert code == 1  # the learner is away, and predictions are answered
        assert seen["predictor"]["ready"]
        assert seen["predictor"]["source"]["reachable"] is False
        assert "cannot be reached" in seen["predictor"]["source"]["problem"]
