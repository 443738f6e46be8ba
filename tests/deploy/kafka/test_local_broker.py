from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.kafka import local_broker
from deploy.kafka.local_broker import (
    LocalBroker,
    Ports,
    fetch_jars,
    find_java,
    free_ports,
)
from deploy.local_process import NotAvailable

# Makes the directory that Maven is to fill, for a shell that calls it $jars.
MAKE_JARS = (
    "for word; do case $word in -DoutputDirectory=*) jars=${word#*=};; esac; done; "
    "PATH=/usr/bin:/bin mkdir $jars"
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in which programs are looked for; empty."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return directory


def put(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


@pytest.mark.usefixtures("programs")
def test_without_java_it_is_said_what_to_install() -> None:
    with pytest.raises(NotAvailable, match=r"needs Java 17 or newer: install it .*openjdk-17"):
        find_java()


@pytest.mark.parametrize(
    "answer", ['openjdk version "11.0.2" 2019-01-15', 'java version "1.8.0_292"', "gone mad"]
)
def test_a_java_that_is_too_old_is_shown(programs: Path, answer: str) -> None:
    put(programs, "java", f"echo '{answer}' >&2")
    with pytest.raises(NotAvailable, match=r"needs Java 17 or newer.*says") as caught:
        find_java()
    assert answer in str(caught.value)


def test_a_java_that_is_new_enough_is_taken(programs: Path) -> None:
    put(programs, "java", "echo 'openjdk version \"21\" 2023-09-19' >&2")
    assert find_java() == str(programs / "java")


@pytest.mark.usefixtures("programs")
def test_without_maven_it_is_said_what_to_install() -> None:
    with pytest.raises(NotAvailable, match="Maven fetches Kafka: install it"):
        fetch_jars()


def test_a_maven_that_fails_is_quoted_and_leaves_nothing_in_the_cache(
    programs: Path, tmp_path: Path
) -> None:
    put(programs, "mvn", f"{MAKE_JARS} && echo half > $jars/a.jar; echo offline >&2; exit 1")
    with pytest.raises(NotAvailable, match="mvn ended with 1:\noffline"):
        fetch_jars()
    assert list((tmp_path / "cache" / "si-stream").iterdir()) == []


def test_jars_are_fetched_once(programs: Path, tmp_path: Path) -> None:
    put(programs, "mvn", f"{MAKE_JARS} && echo whole > $jars/a.jar")
    jars = fetch_jars()
    assert jars == tmp_path / "cache" / "si-stream" / f"kafka-{local_broker.KAFKA_VERSION}"
    assert [jar.name for jar in jars.iterdir()] == ["a.jar"]
    put(programs, "mvn", "exit 1")
    assert fetch_jars() == jars
    assert [path.name for path in jars.parent.iterdir()] == [jars.name]


def test_a_port_that_is_taken_is_named(local_kafka: LocalBroker, tmp_path: Path) -> None:
    taken = int(local_kafka.server.partition(":")[2])
    ports = Ports(taken, *free_ports()[1:])
    with pytest.raises(NotAvailable, match=rf"port {taken} of 127\.0\.0\.1 is taken"):
        LocalBroker(tmp_path, ports=ports).start()


@pytest.mark.usefixtures("local_kafka")  # where it can be had at all
def test_a_broker_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=99\n")
    with pytest.raises(NotAvailable, match=r"the Kafka broker ended; \S*broker\.log ends with\n"):
        LocalBroker(tmp_path).start()


@pytest.mark.usefixtures("local_kafka")
def test_the_program_says_what_to_set_and_takes_its_broker_along_however_it_ends(
    tmp_path: Path,
) -> None:
    port = free_ports().plain
    program = subprocess.Popen(
        [
            *(sys.executable, str(local_broker.__file__)),
            *("--port", str(port), "--directory", str(tmp_path / "kafka")),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = program.stdout.readline()
            assert line, said
            said += line
        program.send_signal(signal.SIGKILL)
    assert f"export SI_STREAM_STREAM__BROKER=kafka://127.0.0.1:{port} " in said
    assert f"export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{port} " in said
    while listens(port):
        time.sleep(0.1)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
