"""Ports that are taken, by others and by our own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from services.doctor.ports import look
from services.learner_status import NAME, LearnerStatus
from services.processes import Child
from si_stream.settings import Settings
from tests.services.doctor.models import state_of
from tests.services.learner_api.serving import answers
from tests.services.learner_process import wait_for_metrics
from tests.services.other_programs import answering
from tests.services.predictor.serving import Teacher, model_options, serving
from tests.services.statuses import a_status
from tests.streams import settings


def with_port(who: str, port: int, host: str = "127.0.0.1") -> Settings:
    groups: dict[str, dict[str, Any]] = {"learner": {}, "predictor": {"port": 0}}
    names = ("metrics_host", "metrics_port") if who == "learner" else ("host", "port")
    groups[who] = dict(zip(names, (host, port), strict=True))
    return settings(learner=groups["learner"], predictor=groups["predictor"])


WHO = pytest.mark.parametrize("who", ["learner", "predictor"])


@WHO
def test_a_port_that_is_free_stays_so(who: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert (
        state_of(look(with_port(who, port)), f"ports: {who}")[1]
        == f"{port} of 127.0.0.1 is free → "
    )
    socket.create_server(("127.0.0.1", port)).close()
    assert state_of(look(with_port(who, 0)), f"ports: {who}")[0] == "ok"


@pytest.fixture
def other() -> Iterator[int]:
    with answering(200, {"status": "of another"}) as port:
        yield port


@WHO
def test_a_port_of_another_program_is_told_of(who: str, other: int) -> None:
    kind, text = state_of(look(with_port(who, other)), f"ports: {who}")
    assert kind == "fail"
    setting = {"learner": "learner.metrics_port", "predictor": "predictor.port"}[who]
    assert "is in use by another program → " in text
    assert text.endswith(f"or set {setting}")


def test_one_that_speaks_no_http_is_another_programs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1024)
                connection.sendall(b"220 welcome\r\n")

        thread = Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        assert state_of(look(with_port("learner", port)), "ports: learner")[0] == "fail"
        thread.join()


def seen_learner(directory: Path, **changes: Any) -> tuple[str, str]:
    """What is told where a learner answers with a status like this."""

    def status() -> LearnerStatus:
        return a_status(**{"model": "si-stream", **changes})

    with answers(health=status) as address:
        port = int(address.rpartition(":")[2])
        chosen = with_port("learner", port).model_copy(update={"directory": directory})
        kind, text = state_of(look(chosen), "ports: learner")
    return kind, text.removeprefix(f"{port} of 127.0.0.1 is ")


def test_a_port_of_our_learner_is_well_and_that_of_another_model_or_directory_is_not(
    tmp_path: Path,
) -> None:
    kind, text = seen_learner(tmp_path)
    assert kind == "warn"
    assert f"no learner has written a status into {tmp_path} → " in text
    (tmp_path / NAME).write_text(a_status(model="si-stream").model_dump_json())
    assert seen_learner(tmp_path) == ("ok", "answered by a learner: learning → ")
    kind, text = seen_learner(tmp_path, model="faces")
    assert kind == "fail"
    assert text.startswith("taken by the learner of another model, faces → stop what listens ")
    for changes in ({"pid": 8}, {"epoch": 2}):
        kind, text = seen_learner(tmp_path, **changes)
        assert kind == "fail"
        assert text.startswith("taken by another learner (process ")
        assert f"than that of {tmp_path} (process 7, epoch 1) → " in text


def test_of_a_predictor_without_a_snapshot_nobody_can_tell_whose_it_is(
    started: list[Child],
) -> None:
    started.append(child := Child("predictor", settings=with_port("predictor", 0)))
    wait_for_metrics(child)
    assert child.address is not None
    port = int(child.address.rpartition(":")[2])
    kind, text = state_of(look(with_port("predictor", port)), "ports: predictor")
    assert kind == "warn"
    assert "of which model cannot be told: no snapshot has been loaded yet" in text


@pytest.mark.parametrize(("model", "state"), [("si-stream", "ok"), ("faces", "fail")])
def test_a_port_of_our_predictor_is_well_and_that_of_another_models_is_not(
    model: str, state: str, tmp_path: Path
) -> None:
    teacher = Teacher(tmp_path, model_options(name=model))
    teacher.teach()
    teacher.publish()
    with serving(tmp_path) as running:
        running.wait_until_ready()
        port = int(running.url.rpartition(":")[2])
        kind, text = state_of(look(with_port("predictor", port)), "ports: predictor")
    assert kind == state
    assert ("taken by a predictor of another model, faces → " in text) == (state == "fail")


@WHO
def test_an_address_of_another_machine_is_told_of(who: str) -> None:
    kind, text = state_of(look(with_port(who, 4242, "192.0.2.1")), f"ports: {who}")
    assert kind == "fail"
    assert "cannot be listened on: " in text
