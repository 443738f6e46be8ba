"""`si-stream health`, as health checks run it: a command, a line for each process, an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local_process import free_ports
from services.command import main
from services.processes import Child
from si_stream.brokers.embedded import EmbeddedBroker
from tests.services.learner_process import LOOK_SECONDS, wait_for_metrics, wait_until
from tests.services.other_programs import answering
from tests.services.web.certificates import Authority
from tests.streams import STREAM, enveloped, filled, samples, settings

pytestmark = pytest.mark.usefixtures("bare_environment")


def asked(
    capsys: pytest.CaptureFixture[str], ports: tuple[int, int], *flags: str
) -> tuple[int, list[str]]:
    learner, predictor = ports
    arguments = ["--set", f"learner.metrics_port={learner}", "--port", str(predictor), *flags]
    code = main(["health", *arguments])
    return code, capsys.readouterr().out.splitlines()


def test_a_learner_that_waits_and_a_predictor_without_a_snapshot_are_well_but_not_ready(
    tmp_path: Path, started: list[Child], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = ports = free_ports(2)[0], free_ports(2)[1]
    file = tmp_path / "broker.sqlite"
    chosen = settings(
        tmp_path,
        stream={"broker": f"embedded:{file}"},
        learner={"metrics_port": first},
        predictor={"port": second},
        snapshots={"interval_seconds": 0.1},
    )
    with EmbeddedBroker(file) as broker:
        filled(broker, [])
        started += (Child(name, settings=chosen) for name in ("learner", "predictor"))
        learner, predictor = started
        wait_for_metrics(learner)
        wait_for_metrics(predictor)
        of_learner = f"learner at http://127.0.0.1:{first}"
        of_predictor = f"predictor at http://127.0.0.1:{second}"

        code, lines = asked(capsys, ports)
        assert (code, lines[1:]) == (0, [f"{of_predictor}: live"])
        assert lines[0].startswith(f"{of_learner}: ")
        code, lines = asked(capsys, ports, "--predictor", "--ready")
        assert code == 1
        assert "no snapshot" in lines[0]

        broker.append(STREAM, 0, enveloped([samples(16)]))
        wait_until(learner, "si_stream_snapshot_step", 1)
        while asked(capsys, ports, "--predictor", "--ready")[0]:
            assert predictor.code is None
            predictor._reader.join(LOOK_SECONDS)
        assert asked(capsys, ports, "--ready")[0] == 0

        predictor.kill()
        predictor.wait()
        assert asked(capsys, ports, "--learner")[0] == 0
        assert asked(capsys, ports, "--predictor") == (1, [f"{of_predictor}: does not answer"])
        assert asked(capsys, ports)[0] == 1


def test_one_with_a_certificate_is_known_by_it(
    tmp_path: Path, started: list[Child], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = Authority(tmp_path).certificate("localhost")
    [port] = free_ports(1)
    files = {"tls_certificate_file": pair.certificate, "tls_key_file": pair.key}
    started.append(
        Child("predictor", settings=settings(tmp_path, predictor={"port": port, **files}))
    )
    wait_for_metrics(started[0])
    flags = [f"--set=predictor.{name}={path}" for name, path in files.items()]
    assert asked(capsys, (1, port), "--predictor", *flags) == (
        0,
        [f"predictor at https://127.0.0.1:{port}: live"],
    )
    assert asked(capsys, (1, port), "--predictor")[0] == 1  # without TLS


def test_another_program_at_the_address_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(404, {"error": "what do you want?"}) as port:
        code, lines = asked(capsys, (port, port))
    assert code == 1
    assert [line.rpartition(": ")[2] for line in lines] == ["answers 404", "answers 404"]


def test_a_port_that_nobody_can_know_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["health", "--learner", "--set", "learner.metrics_port=0"]) == 2
    assert "learner.metrics_port is 0" in capsys.readouterr().err
