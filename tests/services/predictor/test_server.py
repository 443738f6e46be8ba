"""The predictor as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.web.address import listen, url_of
from si_stream.errors import SettingsError
from tests.services.predictor.serving import ROWS, Teacher, wait_for

COMMAND = [sys.executable, "-c", "import sys; from services.command import main; sys.exit(main())"]


@contextmanager
def predictor_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SI_STREAM_")}
    process = subprocess.Popen(
        [*COMMAND, "predictor", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def logged_address(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"predictor on http://(127\.0\.0\.1):(\d+)", line):
            return match[1], int(match[2])
    raise AssertionError("the predictor ended without an address")


def test_a_process_serves_and_ends_with_0_when_requests_in_flight_are_answered(
    tmp_path: Path,
) -> None:
    teacher = Teacher(tmp_path)
    teacher.teach()
    teacher.publish()
    with predictor_process("--port", "0", "--directory", str(tmp_path)) as process:
        place = logged_address(process)
        url = f"http://{place[0]}:{place[1]}"
        wait_for(lambda: httpx.get(f"{url}/healthz/ready").status_code == 200)
        with socket.create_connection(place, timeout=60) as connection:
            head = (
                "POST /predict?task=digits-0-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                f"Content-Type: {ROWS['Content-Type']}\r\n\r\n"
            )
            connection.sendall(head.encode() + b"\x01\x02")
            in_flight = "si_stream_http_requests_in_flight 2.0"
            wait_for(lambda: in_flight in httpx.get(f"{url}/metrics").text)
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: refuses_connections(place))
            connection.sendall(b"\x03\x04")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b'"labels":[' in answer
        assert process.wait() == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def refuses_connections(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=5).close()
    except OSError:
        return True
    return False


def test_a_process_waits_for_a_model_and_ctrl_c_ends_it_with_0(tmp_path: Path) -> None:
    with predictor_process("--port", "0", "--directory", str(tmp_path / "later")) as process:
        host, port = logged_address(process)
        assert httpx.get(f"http://{host}:{port}/healthz/ready").status_code == 503
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_a_port_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with predictor_process("--port", str(port), "--directory", str(tmp_path)) as process:
            _, errors = process.communicate()
    assert process.returncode == 2
    (line,) = errors.splitlines()
    assert line.startswith(f"si-stream: port {port} of 127.0.0.1 is in use")
    assert "--port" in line


@pytest.mark.parametrize("host", ["203.0.113.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=rf"cannot listen on {host} port 0: .*--host"):
        listen(host, 0)


def test_an_address_is_shown_as_a_url() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_package_is_imported_without_torch_and_served_without_data_sets_or_compilers() -> None:
    script = (
        "import sys; import services.predictor; "
        "print([name for name in ['torch', 'fastapi', 'numpy'] if name in sys.modules]); "
        "import services.predictor.server; "
        "print([name for name in ['torchvision', 'numba', 'pyarrow', 'simulators', 'matplotlib', "
        "'sklearn'] if name in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines() == ["[]", "[]"]
