"""A service with every door locked: HTTPS and tokens at a learner, and at a predictor that follows
it by its URL. Nothing that any of them says or writes has a secret in it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.command import main
from services.processes import Child, environment_of
from services.web.certificates import Pair, trusting
from si_stream.settings import Settings, load_settings
from tests.services.web.certificates import Authority

MARK = "x7Qz"
LEARNER, READING, PREDICTOR = (f"a-token-{MARK}-{of}" for of in ("learner", "reading", "predictor"))
PASSWORD = f"a-password-{MARK}"
WRONG = f"another-token-{MARK}"  # that a client sends by mistake is a secret too, elsewhere
JSON = {"Content-Type": "application/json"}


@dataclass
class Service:
    learner: Child
    predictor: Child
    settings: Settings
    files: Pair
    authority: Authority
    told: list[str] = field(default_factory=list)
    """All that was answered, and all that commands have said."""

    def ask(self, child: Child, method: str, path: str, **options: Any) -> httpx.Response:
        assert child.address is not None
        address = child.address.removesuffix("/metrics")
        verify: Any = trusting(self.files.certificate)
        answer = httpx.request(method, f"{address}{path}", verify=verify, timeout=60, **options)
        self.told += [answer.text, str(answer.headers)]
        return answer

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command with the predictor's settings, as an operator gives it, and some more."""
        done = subprocess.run(
            [sys.executable, "-m", "services", *command],
            env={**environment_of(self.settings), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        self.told += [done.stdout, done.stderr]
        return done


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SI_STREAM_REQUIRE_REAL", "SI_STREAM_DATA"):
            patch.delenv(name, raising=False)
        yield from started(tmp_path_factory.mktemp("locked"))


def started(place: Path) -> Iterator[Service]:
    secrets = place / "secrets"
    secrets.mkdir()
    authority = Authority(secrets)
    files = Pair(secrets / "tls.crt", secrets / "tls.key")
    put(authority.certificate("server"), files)
    for name, token in (("reading", READING), ("predictor", PREDICTOR)):
        (secrets / name).write_text(f"{token}\n")
    common = {
        "preset": "split-digits",
        "log.level": "debug",
        "snapshots.interval_seconds": 0.2,
        "checkpoints.interval_seconds": 1.0,
        "kafka.security_protocol": "SASL_PLAINTEXT",
        "kafka.sasl_mechanism": "PLAIN",
        "kafka.username": "somebody",
        "kafka.password": PASSWORD,
    }
    tls = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    of_learner = {
        **tls,
        "metrics_port": 0,
        "token": LEARNER,
        "read_token_file": secrets / "reading",
    }
    of_learner = {f"learner.{name}": value for name, value in of_learner.items()}
    told: list[str] = []

    def heed(_name: str, line: str) -> None:
        told.append(line)

    settings = load_settings(overrides={**common, **of_learner, "directory": place / "model"})
    learner = Child("learner", settings=settings, heed=heed)
    running = [learner]
    try:
        source = wait_for_address(learner).removesuffix("/metrics")
        of_predictor = {
            **tls,
            "port": 0,
            "token_file": secrets / "predictor",
            "source": source,
            "source_token_file": secrets / "reading",
            "source_ca_file": authority.file,
        }
        of_predictor = {f"predictor.{name}": value for name, value in of_predictor.items()}
        settings = load_settings(overrides={**common, **of_predictor, "directory": place / "copy"})
        predictor = Child("predictor", settings=settings, heed=heed)
        running.append(predictor)
        wait_for_address(predictor)
        broker = f"embedded:{place}/model/broker.sqlite"
        assert main(["simulate", "split-digits", "--broker", broker, "--epochs", "2"]) == 0
        service = Service(learner, predictor, settings, files, authority, told)
        while service.ask(predictor, "GET", "/healthz/ready").status_code != 200:
            time.sleep(0.05)
        yield service
    finally:
        for child in running:
            child.kill()
            child.wait()


def wait_for_address(child: Child) -> str:
    while child.address is None:
        assert child.code is None, list(child.last_lines)
        time.sleep(0.02)
    assert child.address.startswith("https://127.0.0.1:")
    return child.address


def put(made: Pair, files: Pair) -> None:
    for one, other in zip(made, files, strict=True):
        shutil.copy(one, other)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_predictor_with_the_token_and_the_authority_follows_and_answers(service: Service) -> None:
    image = {"task": "digits-0-1", "inputs": [[[0] * 8] * 8]}
    while (
        answer := service.ask(
            service.predictor, "POST", "/predict", json=image, headers=bearer(PREDICTOR)
        )
    ).status_code != 200:
        assert answer.status_code == 404  # of that task there is no snapshot yet
        time.sleep(0.05)
    assert sum(answer.json()["predictions"][0]["probabilities"]) == pytest.approx(1)


def test_without_a_token_or_with_another_nobody_gets_anything(service: Service) -> None:
    learner, predictor = service.learner, service.predictor
    for child, method, path in (
        (predictor, "POST", "/predict"),
        (predictor, "GET", "/tasks"),
        (predictor, "GET", "/events"),
        (predictor, "GET", "/samples?task=digits-0-1"),
        (learner, "GET", "/snapshots/newest"),
        (learner, "HEAD", "/snapshots/newest"),
        (learner, "GET", "/journal"),
        (learner, "GET", "/samples?task=digits-0-1"),
        (learner, "POST", "/boundaries"),
    ):
        for headers in ({}, bearer(WRONG)):
            answer = service.ask(child, method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    reading = bearer(READING)
    assert service.ask(learner, "POST", "/boundaries", headers=reading).status_code == 401


def test_each_token_opens_its_door(service: Service) -> None:
    learner = service.learner
    for token in (READING, LEARNER):
        newest = service.ask(learner, "HEAD", "/snapshots/newest", headers=bearer(token))
        assert newest.status_code == 200
    asked = service.ask(learner, "POST", "/boundaries", headers=bearer(LEARNER), json={})
    assert asked.status_code == 202
    for child, path in (
        (learner, "/health"),
        (learner, "/metrics"),
        (service.predictor, "/metrics"),
        (service.predictor, "/"),
    ):
        assert service.ask(child, "GET", path).status_code == 200


def test_plain_http_gets_nothing_at_an_https_port(service: Service) -> None:
    address = str(service.predictor.address).replace("https://", "http://")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/healthz/live", timeout=60)


def test_curl_needs_the_authority_and_the_token(service: Service) -> None:
    def curl(*options: str) -> subprocess.CompletedProcess[str]:
        address = f"{service.predictor.address}/tasks"
        return subprocess.run(
            ["curl", "-sS", *options, address], capture_output=True, text=True, check=False
        )

    authority, header = str(service.authority.file), f"Authorization: Bearer {PREDICTOR}"
    assert curl("-H", header).returncode == 60  # the certificate is nobody's that curl knows
    assert json.loads(curl("--cacert", authority).stdout)["status"] == 401
    assert json.loads(curl("--cacert", authority, "-H", header).stdout)["tasks"]
    assert curl("--cacert", authority, "--tls-max", "1.1").returncode != 0


def test_status_and_doctor_find_it_with_the_settings_of_the_service(service: Service) -> None:
    port = str(service.predictor.address).rpartition(":")[2]
    at = ("--set", f"predictor.port={port}")
    seen = json.loads(service.run("status", "--json", *at).stdout)
    assert seen["predictor"]["ready"]
    assert seen["predictor"]["address"] == service.predictor.address
    assert seen["knowledge"]["tasks"][0]["name"] == "digits-0-1"
    found = json.loads(service.run("doctor", "--json", *at).stdout)
    ports = {one["about"]: one for one in found["findings"]}["ports: predictor"]
    assert (ports["state"], ports["seen"]) == (
        "ok",
        f"{port} of 127.0.0.1 is answered by a predictor of this model",
    )


def test_a_renewed_certificate_and_a_renewed_token_need_no_restart(service: Service) -> None:
    renewed = service.authority.certificate("renewed")
    put(renewed, service.files)
    for child, path in ((service.learner, "/health"), (service.predictor, "/healthz/live")):
        while True:
            try:
                assert service.ask(child, "GET", path).status_code == 200
                break
            except httpx.ConnectError:  # the one before is still served
                time.sleep(0.05)
    file = service.settings.predictor.token_file
    assert file is not None
    both = f"a-token-{MARK}-new"
    file.write_text(f"{both}\n{PREDICTOR}\n")
    while service.ask(service.predictor, "GET", "/tasks", headers=bearer(both)).is_error:
        time.sleep(0.05)
    old = bearer(PREDICTOR)
    assert service.ask(service.predictor, "GET", "/tasks", headers=old).status_code == 200


def provoke(service: Service) -> None:
    """All kinds of errors, each with a secret at hand."""
    learner, predictor = service.learner, service.predictor
    for headers in (bearer(LEARNER), bearer(PREDICTOR), bearer(WRONG), {}):
        for child, path in ((learner, "/boundaries"), (predictor, "/predict")):
            for content in (b"{", b'{"task": 1}', b"\xff", b"[" * 100_000):
                service.ask(child, "POST", path, content=content, headers={**headers, **JSON})
        for child in (learner, predictor):
            for path in ("/metrics", "/health", "/openapi.json", "/tasks", "/nowhere", "/source"):
                service.ask(child, "GET", path, headers=headers)
                service.ask(child, "DELETE", path, headers=headers)
    service.run("config")
    for token in (PREDICTOR, MARK):  # beside the file, and too short
        assert service.run("config", SI_STREAM_PREDICTOR__TOKEN=token).returncode == 2
    assert service.run("predictor", "--set", "predictor.token_file=/nowhere").returncode == 2
    away = ("--broker", f"kafka://somebody:{PASSWORD}@127.0.0.1:1")
    quick = ("--set", "kafka.connect_timeout_seconds=0.2")
    assert service.run("topics", "show", *away, *quick).returncode == 4


def test_no_secret_is_in_anything_that_is_said_or_written(service: Service) -> None:
    """Also of what all the tests above have asked, and of status and doctor there."""
    provoke(service)
    for child in (service.learner, service.predictor):
        process = Path("/proc") / str(child._process.pid)
        service.told.append((process / "cmdline").read_text())
        child.ask_to_stop()
        assert child.wait() in {0, -signal.SIGALRM}  # its own, on a machine that is too busy
    place = service.authority.directory.parent
    written = [
        path
        for path in place.rglob("*")
        if path.is_file() and service.authority.directory not in path.parents
    ]
    assert {path.name for path in written} >= {"broker.sqlite", "status.json", "events.jsonl"}
    assert [path for path in written if MARK.encode() in path.read_bytes()] == []
    assert len(service.told) > 100
    assert [said for said in service.told if MARK in said] == []
    key = service.files.key.read_text().splitlines()[1]
    assert [said for said in service.told if key in said] == []
